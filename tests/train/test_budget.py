"""Budgets in seconds, and the wall-clock rule."""

import json

import pytest

import train
from record import read_result
from record.follower import Follower
from tests.train.conftest import folder
from training.budget import Clock
from training.distribution import World
from training.precision import pick_device

WALL = ("optimizer=sing", "budget=wallclock_of", "budget.epochs=3", "batch_size=720", "model=resnet20")


@pytest.fixture
def ticking(monkeypatch):
    """A clock on which each stretch of training takes one second per step, whatever the machine does."""
    monkeypatch.setattr(Clock, "pause", lambda self: setattr(self, "_since", None))
    step = train.Trainer.train_step

    def timed_step(self, *parts) -> None:
        step(self, *parts)
        self.clock.seconds += 1.0

    monkeypatch.setattr(train.Trainer, "train_step", timed_step)


def test_the_clock_waits_for_the_device_and_counts_what_an_optimizer_does_between_epochs(settings, monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr("training.budget.time.monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    clock = Clock(settle=lambda: passes(5.0))
    with clock.running():
        passes(1.0)
        with clock.standing():
            passes(100.0)
    assert clock.seconds == 11.0  # twice it waited
    config = settings("optimizer=sgd", "budget.epochs=2", "batch_size=720")
    trainer = train.Trainer(config, World(), pick_device("cpu"))
    trainer.optimizer.epoch_end = lambda: passes(7.0)
    scores = trainer.scores
    trainer.scores = lambda: passes(100.0) or scores()  # an evaluation is off the clock
    trainer.fit(Follower(), False)
    assert trainer.epoch_seconds == [7.0, 7.0]


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


def test_rivals_get_the_reference_time_once_measured(settings, ticking, capsys) -> None:
    seconds = []
    for name in ("sing", "adamw"):
        config = settings(*WALL, f"optimizer={name}")
        assert train.run(config, []) == 0
        seconds.append(read_result(folder(config))["budget_seconds"])
    assert seconds == [6.0, 6.0]  # three epochs of two steps
    stored = list(folder(config).parents[3].glob(".references/*.json"))
    assert len(stored) == 1
    assert json.loads(stored[0].read_text())["seconds"] == 6.0
    assert read_result(folder(config))["selected"]["epoch"] == 3
