"""Budgets in seconds, and the wall-clock rule."""

import json
from pathlib import Path
from typing import Any

import pytest

import train
from conf.errors import UsageError
from record.files import write_json
from record.provenance import measured
from record.read import read_result
from record.run import Run
from record.supervise import NullWriter
from tests.train.conftest import WORDS as MINE
from tests.train.conftest import folder
from training.budget import Clock
from training.distribution import World
from training.runtime import pick_device

WALL = ("optimizer=sing", "budget=wallclock_of", "budget.epochs=3", "batch_size=720", "model=resnet20")


@pytest.fixture
def ticking(monkeypatch):
    """A clock on which each stretch of training takes one second per step, whatever the machine does."""
    monkeypatch.setattr(Clock, "stop", lambda self: setattr(self, "_since", None))
    step = train.Trainer.train_step

    def timed_step(self, *parts) -> None:
        step(self, *parts)
        self.state.clock.seconds += 1.0

    monkeypatch.setattr(train.Trainer, "train_step", timed_step)


def test_the_clock_waits_for_the_device_and_counts_what_an_optimizer_does_between_epochs(settings, monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr("training.budget.time.monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    clock = Clock(synchronize=lambda: passes(5.0))
    with clock.running():
        passes(1.0)
        with clock.paused():
            passes(100.0)
    assert clock.seconds == 11.0  # twice it waited
    config = settings("optimizer=sgd", "budget.epochs=2", "batch_size=720")
    trainer = train.Trainer(config, World(), pick_device("cpu"))
    trainer.first.optimizer.epoch_end = lambda: passes(7.0)
    scores = trainer.scores
    trainer.scores = lambda **which: passes(100.0) or scores(**which)  # an evaluation is off the clock
    trainer.fit(NullWriter(), False)
    assert trainer.state.epoch_seconds == [7.0, 7.0]


def test_the_last_epoch_that_ends_within_the_seconds_counts(make, ticking) -> None:
    result = make("optimizer=sgd", "budget=seconds", "budget.seconds=7", "batch_size=720", "schedule=constant")
    assert (result["steps"], result["selected"]["epoch"]) == (8, 3)  # epochs of two seconds: the fourth ends too late
    replay = make("optimizer=sgd", "budget=steps", "budget.steps=6", "batch_size=720", "schedule=constant")
    assert replay["weights_sha256"] == result["weights_sha256"]
    assert replay["metrics"]["test_loss"] == result["metrics"]["test_loss"]


def test_a_timed_run_resumes_exactly(make, ticking) -> None:
    words = ("optimizer=sgd", "budget=seconds", "budget.seconds=7", "batch_size=720", "schedule=cosine")
    one, two = make(*words), make(*words, stops=(1, 2, 3))
    assert one["weights_sha256"] == two["weights_sha256"]
    assert one["rows"] == two["rows"]


def asking(settings, *words: str) -> tuple[dict[str, Any], list[str]]:
    return settings(*WALL, *words), [*MINE, *WALL, *words]


def references(config: dict[str, Any]) -> list[Path]:
    return list(folder(config).parents[3].glob(".references/*/digits/resnet20/*/s0-*"))


def test_rivals_get_the_time_of_one_ordinary_run(settings, ticking, capsys) -> None:
    for words in (("optimizer=sing",), ("optimizer=adamw", "seed=1")):
        config, given = asking(settings, *words)
        assert train.run(config, given) == 0
        assert read_result(folder(config))["budget_seconds"] == 6.0  # three epochs of two steps
        assert read_result(folder(config))["selected"]["epoch"] == 3
        attempts = json.loads((folder(config) / "environment.json").read_text())["attempts"]
        assert attempts[0]["budget_seconds"] == 6.0
    (one,) = references(config)
    found = read_result(one)
    assert (found["state"], found["epochs"], found["config"]["optimizer"]["name"]) == ("done", 4, "sgd")


def test_a_run_keeps_the_seconds_that_it_began_with(settings, ticking, monkeypatch) -> None:
    config, given = asking(settings, "optimizer=adamw")
    made = train.make
    with monkeypatch.context() as patch:
        patch.setattr(train.Trainer, "train_epoch", lambda self: 1 / 0)
        patch.setattr(
            train, "make", lambda t, *r: made(t, *r) if r[1].get("budget_seconds") else finished(t.config, {})
        )
        assert train.run(config, given) == 70
    (one,) = references(config)
    write_json(one / "result.json", read_result(one) | {"time": {"epoch_seconds": {"median": 50.0}}})
    assert train.run(config, given) == 0
    assert read_result(folder(config))["budget_seconds"] == 3.0


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"time": {"epoch_seconds": {"median": -5}}}, r"result.json: no time of an epoch \(-5\)"),
        ({"time": {}}, "result.json: no time of an epoch"),
        ({"state": "diverged"}, "budget.reference: its run has diverged"),
        (None, "result.json: cannot be read"),
    ],
)
def test_a_reference_that_gives_no_time_is_one_line(settings, monkeypatch, spoilt, message) -> None:
    config, given = asking(settings, "optimizer=adamw")
    monkeypatch.setattr(train, "make", lambda trainer, *_: finished(trainer.config, spoilt))
    with pytest.raises(UsageError, match=message) as caught:
        train.run(config, given)
    assert "\n" not in str(caught.value)
    assert measured(config["paths"]["store"], threads=1) == set()  # and a sweep does not stumble over it
    assert not folder(config).exists()


def finished(config: dict[str, Any], spoilt: dict[str, Any] | None) -> int:
    """Leave a reference's record, and spoil it."""
    with Run(config["paths"]["store"], config) as run:
        run.finish({"state": "done", "metrics": {}, "time": {"epoch_seconds": {"median": 1.0}}})
    path = run.folder / "result.json"
    if spoilt is None:
        path.write_bytes(path.read_bytes()[:100])
    else:
        write_json(path, read_result(run.folder) | spoilt)
    return 0
