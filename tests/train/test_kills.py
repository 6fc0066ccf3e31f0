"""A run that is killed again and again, on one process or two, ends as if nobody had touched it."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from record.read import status
from tests.train.processes import PATIENCE, ended, ended_alike, folder_of, left, ran, started

OPTIMIZERS = ("sgd", "adamw", "adabelief", "adamp", "adamsrt", "rmsgd", "sam", "sing", "sing_lookahead", "sls")
WORDS = ("model=resnet20", "batch_size=96", "progress=false", "checkpoint.every_minutes=100", "keep=all", "threads=1")
PROBES = ("probe=norms", "probe.norms.every=7", "checkpoint.every_steps=5", "optimizer.lr=0.01")


def reached(folder: Path) -> int:
    """Return the step of the newest checkpoint."""
    return max((int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*.pt")), default=0)


def killed_and_resumed(store: Path, words: list[str], kills: int, draw: random.Random, processes: int) -> list[str]:
    """Run a command to its end through `kills` kills, spread at random over its steps; returns what was sent."""
    folder, steps = folder_of(store, words, processes), int(words[-1].removeprefix("budget.steps="))
    sent = []
    for number in range(kills):
        ranks, wanted = started(store, words, processes), steps * (number + draw.random()) / (kills + 1)
        end = time.monotonic() + PATIENCE
        while reached(folder) < wanted and time.monotonic() < end and ranks[0].is_alive():
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.3))
        kind = draw.choices((signal.SIGKILL, signal.SIGTERM), (4, 1))[0]
        for rank in draw.choice([ranks, ranks[:1], ranks[-1:]]):
            os.kill(rank.pid, kind)
        assert 0 not in ended(ranks), store.with_suffix(".txt").read_text()
        assert not status(folder).finished
        sent.append(kind.name)
    ran(store, words, processes)
    return sent


@pytest.mark.parametrize(
    ("name", "processes", "kills"),
    [
        *(("sing", 1, 2), ("sam", 2, 2)),
        *(pytest.param(name, count, 5, marks=pytest.mark.soak) for name in OPTIMIZERS for count in (1, 2)),
    ],
)
def test_kills_leave_no_trace(tmp_path: Path, name: str, processes: int, kills: int) -> None:
    """The soak has 100 kills: five of each of ten optimizers, on one process and on two."""
    words = [*WORDS, *PROBES, f"optimizer={name}", "budget=steps", f"budget.steps={60 if kills == 2 else 120}"]
    draw = random.Random(f"{name} {processes}")
    sent = killed_and_resumed(tmp_path / "killed", words, kills, draw, processes)
    one, two = left(folder_of(tmp_path / "killed", words, processes)), ran(tmp_path / "whole", words, processes)
    ended_alike(one, two)
    kinds = ", ".join(f"{sent.count(kind)} {kind}" for kind in sorted(set(sent)))
    rows, attempts = len(one["rows"]), one["result"]["attempts"]
    print(f"{name}, {processes} process(es): {kinds}; {attempts} attempts, {rows} rows, all bits and rows equal")
