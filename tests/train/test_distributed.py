"""Two processes on the CPU: the same batches, the same steps, one writer; and what happens when one of them dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from optim import rmsgd as rank
from optim.evbmf import Spectrum
from record.read import status
from record.supervise import NullWriter
from tests.train.processes import (
    PATIENCE,
    composed,
    ended,
    ended_alike,
    folder_of,
    left,
    ran,
    require_equal,
    require_success,
    started,
)  # fmt: skip
from tests.train.test_kills import reached
from training.distribution import World
from training.runtime import pick_device

ROOT = Path(__file__).resolve().parents[2]
# A net without batch norm, whose gradient is the same however a batch is shared out.
NET = ("model=timm", "model.name=test_vit", "data=cifar10", "data.synthetic=51")
WORDS = ("batch_size=16", "budget=steps", "budget.steps=6", "progress=false", "threads=1")


@pytest.mark.parametrize(("name", "pieces"), [("sgd", 16), ("sam", 1)])
def test_two_processes_equal_one_to_float_tolerance(tmp_path: Path, name: str, pieces: int) -> None:
    """Shares of eight images, and an epoch's last of two and one, in as many pieces as they have images."""
    words = [*NET, *WORDS, f"optimizer={name}", "optimizer.lr=0.05", f"accumulation={pieces}", "budget.steps=4"]
    one, two = ran(tmp_path / "one", words), ran(tmp_path / "two", words, processes=2)
    assert two["result"]["id"] != one["result"]["id"]
    for key, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][key], value, rtol=1e-4, atol=1e-5)
    for a, b in zip(one["rows"], two["rows"], strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-4)
        assert a["test_loss"] == pytest.approx(b["test_loss"], rel=1e-4)
        assert a["step"] == b["step"]


def test_attacks_of_two_processes_do_not_change_with_evaluations(tmp_path: Path) -> None:
    """An attack sees running statistics, which an evaluation takes from the first process."""
    words = ["task=adversarial", "model=resnet20", "model.layers=8", "data.train=64", "batch_size=32"]
    words += ["budget.epochs=2", "task.train.steps=1", "task.test.steps=1", "progress=false", "threads=1"]
    one, two = (ran(tmp_path / every, [*words, f"evaluate.every_epochs={every}"], processes=2) for every in "12")
    assert all(torch.equal(value, two["weights"][name]) for name, value in one["weights"].items())


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    words = [*NET, *WORDS, "optimizer=sgd", "checkpoint.every_minutes=0.001"]  # which both have to agree on
    assert ran(tmp_path / "runs", words, processes=2)["result"]["attempts"] == 1
    names = {path.name for path in folder_of(tmp_path / "runs", words, 2).iterdir()}
    assert names == {*("config.yaml", "environment.json", "status.json", "metrics.jsonl", "result.json", "weights.pt")}


def train_and_tell(store: Path, words: list[str]) -> int:
    """Train as one of several, and leave what this rank ends with. Each would find other stable ranks by itself."""
    world = World.from_environment()
    rank.analyse = lambda weight, *_: Spectrum(*[0.3 + 0.5 * world.rank + float(weight.mean())] * len(Spectrum._fields))
    trainer = train.Trainer(composed(store, words), world, pick_device("cpu"))
    trainer.fit(NullWriter(), False)
    world.leave()
    weights = {name: p.detach() for name, p in trainer.model.named_parameters()}
    optimizer = trainer.first.optimizer.state_dict()
    torch.save({"weights": weights, "optimizer": optimizer}, store.parent / f"{world.rank}.pt")
    return 0


def drift(store: Path, words: list[str]) -> int:
    """Train as one of two, of which one takes steps of its own."""
    step = train.Trainer.train_step

    def astray(self: train.Trainer, *parts: Any) -> None:
        step(self, *parts)
        if self.world.rank == 1:
            with torch.no_grad():
                next(self.model.parameters()).view(-1)[0] += 1e-3

    train.Trainer.train_step = astray  # type: ignore[method-assign]
    return train.run(composed(store, words), words)


@pytest.mark.parametrize("when", ["checkpoint.every_steps=1", "checkpoint.every_steps=0"])
def test_processes_that_drift_apart_end_the_run(tmp_path: Path, when: str) -> None:
    words = ["model=resnet20", "data=cifar10", "data.synthetic=32", *WORDS, "optimizer=sgd", when]
    assert ended(started(tmp_path / "runs", words, 2, drift)) == [70, 70]
    assert "the weights of [1] are not those of process 0" in status(folder_of(tmp_path / "runs", words, 2)).message
    assert not list(folder_of(tmp_path / "runs", words, 2).glob("checkpoint-*"))


def both_ranks(folder: Path, *words: str) -> list[dict[str, Any]]:
    folder.mkdir()
    everything = ["model=resnet20", "data=cifar10", "data.synthetic=32", *WORDS, *words]
    require_success(folder / "runs", started(folder / "runs", everything, 2, train_and_tell))
    return [torch.load(folder / f"{number}.pt", weights_only=True) for number in (0, 1)]


def test_every_process_ends_with_the_same_weights_and_optimizer(tmp_path: Path) -> None:
    first, second = both_ranks(tmp_path / "rmsgd", "optimizer=rmsgd", "optimizer.variant=text")
    require_equal(first, second)
    rates = {float(state["rank.rate"]) for state in first["optimizer"]["state"].values()}
    assert len(rates) > 2  # the layers' rates have parted, on both in the same way


def test_the_ascent_of_sam_is_of_all_processes_or_of_each(tmp_path: Path) -> None:
    weights = {}
    for ascent in ("global", "local"):
        words = ("optimizer=sam", "optimizer.rho=0.5", f"optimizer.ascent={ascent}")
        first, second = both_ranks(tmp_path / ascent, *words)
        require_equal(first, second)
        weights[ascent] = first["weights"]
    assert any(not torch.equal(value, weights["local"][name]) for name, value in weights["global"].items())


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("victim", [1, pytest.param(0, marks=pytest.mark.soak)])
def test_a_killed_rank_ends_the_run_and_the_same_command_resumes(tmp_path: Path, victim: int) -> None:
    """By torchrun itself, which the other tests do without."""
    words = ["model=resnet20", "batch_size=96", "optimizer=sing", "progress=false", "keep=all", "threads=1"]
    words += ["checkpoint.every_steps=10", "budget=steps", "budget.steps=80"]
    store, folder = tmp_path / "killed", folder_of(tmp_path / "killed", words, 2)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py"]
    command, environment = [*launcher, *words, f"paths.store={store}"], os.environ | {"OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment)
    end = time.monotonic() + PATIENCE
    while reached(folder) < 30 and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(children(running.pid)[victim], signal.SIGKILL)
    running.communicate(timeout=60)  # no hang
    assert running.returncode == 1
    assert not status(folder).finished
    ended_alike(ran(store, words, 2), ran(tmp_path / "whole", words, 2))
    assert left(folder)["result"]["attempts"] == 2
