"""A run that was stopped anywhere ends with the bits of one that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conf import groups
from conf.compose import compose
from record import read_lines, read_result, run_folder
from tests.train.conftest import WORDS

ROOT = Path(__file__).resolve().parents[2]
OPTIMIZERS = [name for name in groups.options("optimizer") if name not in ("custom", *groups.plugins())]
SCHEDULES = ("cosine", "step", "multistep", "constant", "linear")


def same(one: dict, two: dict) -> None:
    assert one["rows"] == two["rows"]
    assert one["weights_sha256"] == two["weights_sha256"]
    assert one["metrics"] == two["metrics"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_resumes_exactly(make, name: str) -> None:
    """Stopped in the first epoch, at its end and in the second; schedules and precisions take turns."""
    turn = OPTIMIZERS.index(name)
    words = (
        *(f"optimizer={name}", f"schedule={SCHEDULES[turn % 5]}", "budget.epochs=2", "data.augment.crop_padding=1"),
        *("schedule.warmup_epochs=0.5", f"precision={('fp32', 'bf16')[turn % 2]}", "batch_size=360", "probe=norms"),
    )
    same(make(*words, "seed=1", stops=(2, 2, 1)), make(*words, "seed=1", "keep=all"))


@pytest.mark.parametrize(
    "words",
    [
        ("budget=steps", "budget.steps=7", "probe=gradient,norms", "probe.norms.every=2"),
        ("selection=best_validation", "data.validation=0.2", "budget.epochs=2"),
        ("accumulation=2", "clip_norm=1.0", "label_smoothing=0.1", "budget.epochs=2"),
        ("data=fashion_mnist", "data.stand_in=200", "budget.epochs=3", "channels_last=true"),
        ("freeze=norm_affine", "budget.epochs=2", "data.augment.cutout=2", "data.augment.rotation=15"),
    ],
)
def test_every_path_through_the_loop_resumes_exactly(make, words: tuple[str, ...]) -> None:
    fixed = ("optimizer=sing_lookahead", "batch_size=360", *words) if "accumulation=2" not in words else words
    same(make(*fixed, stops=(1, 2, 2)), make(*fixed))


def killed_and_resumed(store: Path, words: list[str], kills: int, draw: random.Random) -> None:
    """Run a command to its end through `kills` SIGKILLs at random moments."""
    command = [sys.executable, "train.py", *words, f"paths.store={store}"]
    left = kills
    while True:
        running = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        if left:
            try:
                running.wait(draw.uniform(5, 16))  # the first seconds import torch
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGKILL)
                left -= 1
        code = running.wait()
        if code >= 0:
            assert code == 0
            return
        time.sleep(0.1)


def ended_alike(one: Path, two: Path, words: list[str]) -> None:
    config = compose(words) | {"world_size": 1}
    folders = [run_folder(store, config) for store in (one, two)]
    results = [read_result(folder) for folder in folders]
    assert results[0]["weights_sha256"] == results[1]["weights_sha256"]
    rows = []
    for folder in folders:
        lines, torn = read_lines(folder / "metrics.jsonl")
        assert torn == 0
        rows.append([{key: value for key, value in line.items() if key != "seconds"} for line in lines])
    assert rows[0] == rows[1]


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_kill_9_leaves_no_trace(tmp_path: Path, kills: int) -> None:
    epochs = 20 if kills == 2 else 100
    words = [*WORDS, "optimizer=sing", f"budget.epochs={epochs}", "checkpoint.every_steps=5", "threads=1"]
    killed_and_resumed(tmp_path / "killed", words, kills, random.Random(0))
    killed_and_resumed(tmp_path / "whole", words, 0, random.Random(0))
    ended_alike(tmp_path / "killed", tmp_path / "whole", words)
