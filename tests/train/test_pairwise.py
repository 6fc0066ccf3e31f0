"""Optimizer, schedule, data path, precision, number of processes: every pair of them resumes exactly."""

from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

import train
from record.run import Run
from record.supervise import NullWriter
from tests.train.conftest import StopAfter, rows
from tests.train.processes import composed, require_equal, require_success, started
from tests.train.test_resume import OPTIMIZERS, SCHEDULES
from training.distribution import World
from training.runtime import Stopped, pick_device

# Torch's own, a chain, buffers of several stages, groups on the sphere, an epoch's end, two passes, a line search.
KINDS = ("sgd", "adamw", "adamp", "sing_lookahead", "adamsrt", "rmsgd", "sam", "sls")
DATA = {
    "memory": ("data=cifar10", "data.synthetic=32"),
    "held out": ("data=cifar10", "data.synthetic=40", "data.validation=0.2", "selection=best_validation"),
    "streamed": ("data=imagenet", "data.synthetic=32", "data.image_size=32", "data.eval_size=32", "workers=0"),
}
WORDS = ("model=resnet20", "batch_size=8", "budget=steps", "budget.steps=6", "optimizer.lr=0.01", "progress=false")
STOPS = (2, 3)  # in the first epoch, and three steps on, in the second

Row = tuple[str, ...]


def covering(*factors: tuple[str, ...]) -> list[Row]:
    """Return rows in which every two levels of two factors meet; each next row is the one with most new meetings."""
    missing = {pair for row in product(*factors) for pair in pairs(row)}
    rows = []
    while missing:
        rows.append(max(product(*factors), key=lambda row: len(missing & pairs(row))))
        missing -= pairs(rows[-1])
    return rows


def pairs(row: Row) -> set[tuple[Any, ...]]:
    return set(combinations(enumerate(row), 2))


def words_of(row: Row) -> list[str]:
    optimizer, schedule, data, precision, _ = row
    return [*WORDS, f"optimizer={optimizer}", f"schedule={schedule}", *DATA[data], f"precision={precision}"]


def made(config: dict[str, Any], stops: tuple[int, ...]) -> tuple[Any, Any]:
    """Make a run in this process, or this process's part of it, and return its last state and what it logged."""
    world = World.from_environment()
    for looks in (*stops, 10**9):
        trainer = train.Trainer(config, world, pick_device("cpu"))
        with Run(config["paths"]["store"], config) if world.is_main else NullWriter() as run:
            try:
                run.finish(*trainer.fit(run, StopAfter(looks)))
                break
            except Stopped:
                run.stop()
    for group in trainer.first.optimizer.param_groups:
        group.pop("differentiable", None)  # torch adds it to a group without it, when it loads
    last = trainer.checkpoints.content()
    last["train"] = {key: value for key, value in last["train"].items() if key not in ("clock", "epoch_seconds")}
    last["train"]["selection"].pop("row")
    return last, rows(config) if world.is_main else []


def resume_exactly(store: Path, words: list[str]) -> int:
    """Compare a run that was stopped twice with one that was not; words: of several runs, each ends in `;`."""
    train.CHECK_EVERY = 1  # or two processes would agree on a stop every 16 steps alone
    for number, run in enumerate(split(words)):
        whole, resumed = (made(composed(store / f"{number}-{how}", run), stops) for how, stops in HOW.items())
        require_equal(whole, resumed, " ".join(run))
    return 0


HOW = {"whole": (), "resumed": STOPS}


def split(words: list[str]) -> Iterator[list[str]]:
    while ";" in words:
        run, words = words[: words.index(";")], words[words.index(";") + 1 :]
        yield run


def check(store: Path, rows: list[Row], processes: str) -> None:
    words = [word for row in rows if row[-1] == processes for word in (*words_of(row), ";")]
    require_success(store, started(store, words, int(processes), resume_exactly))


@pytest.mark.parametrize("processes", ["1", "2"])
def test_every_pair_resumes_exactly(tmp_path: Path, processes: str) -> None:
    check(tmp_path / "runs", covering(KINDS, SCHEDULES, tuple(DATA), ("fp32", "bf16"), ("1", "2")), processes)


@pytest.mark.soak
@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_whole_product_resumes_exactly(tmp_path: Path, optimizer: str, processes: str) -> None:
    rows = product([optimizer], SCHEDULES, DATA, ("fp32", "bf16"), [processes])
    check(tmp_path / "runs", list(rows), processes)
