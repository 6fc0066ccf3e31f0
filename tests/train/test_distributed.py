"""Two processes on the CPU: the same batches, the same steps, one writer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conf.compose import compose
from record import read_result, run_folder

ROOT = Path(__file__).resolve().parents[2]
# A net without batch norm, whose gradient is the same however a batch is shared out.
NET = ("model=timm", "model.name=test_vit", "data=cifar10", "data.stand_in=50")
WORDS = ("batch_size=16", "budget=steps", "budget.steps=6", "progress=false", "threads=1")


def ran(store: Path, processes: int, *words: str) -> dict:
    words = (*NET, *WORDS, f"paths.store={store}", f"paths.cache={store / 'cache'}", *words)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    command = [sys.executable, *launcher, "train.py", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    config = compose(list(words)) | {"world_size": processes}
    folder = run_folder(store, config)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return read_result(folder) | {"rows": rows, "weights": torch.load(folder / "weights.pt", weights_only=True)}


@pytest.mark.parametrize("name", ["sgd", "sam"])
def test_two_processes_equal_one_to_float_tolerance(tmp_path: Path, name: str) -> None:
    words = (f"optimizer={name}", "optimizer.lr=0.05")
    one, two = ran(tmp_path / "one", 1, *words), ran(tmp_path / "two", 2, *words)
    assert two["id"] != one["id"]
    for key, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][key], value, rtol=1e-4, atol=1e-5)
    for a, b in zip(one["rows"], two["rows"], strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
        assert a["test_loss"] == pytest.approx(b["test_loss"], rel=1e-4)
        assert a["step"] == b["step"]
