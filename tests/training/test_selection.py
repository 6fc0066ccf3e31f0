"""Which epoch stands for a run, and whether a target is reached: in the metric's own direction."""

import math

import pytest
from torch import nn

from conf.metrics import metric, parted
from training.selection import Selection, time_to_target


@pytest.mark.parametrize(("name", "best"), [("top1", 90.0), ("loss", 10.0)])
def test_the_best_epoch_is_best_in_the_metrics_direction(name, best):
    selection = Selection("best_validation", name, metric(name).sign, timed=False)
    for epoch, score in enumerate((math.nan, 50.0, 90.0, 10.0, math.nan)):
        row = {"epoch": epoch, f"validation_{name}": score, f"test_{name}": score}
        selection.update(row, True, nn.Linear(1, 1))
    assert selection.row[f"validation_{name}"] == best
    assert selection.best_test[f"test_{name}"] == best


def test_the_best_epoch_on_test_is_kept_with_all_its_scores():
    """The SING paper reports RDE's accuracy at the best test loss: it is beside the score of the selected epoch."""
    selection = Selection("best_validation", "loss", -1, timed=False)
    for epoch, (validation, test, accuracy) in enumerate([(0.3, 0.2, 50.0), (0.2, 0.4, 70.0), (0.4, 0.3, 60.0)]):
        row = {"epoch": epoch, "validation_loss": validation, "test_loss": test, "test_accuracy": accuracy, "lr": 0.1}
        selection.update(row, True, nn.Linear(1, 1))
    assert selection.row["test_accuracy"] == 70.0
    assert selection.best_test == {"epoch": 0, "test_loss": 0.2, "test_accuracy": 50.0}


@pytest.mark.parametrize(
    ("name", "value", "score", "reached"),
    [
        ("loss", 0.5, 2.33, False),
        ("loss", 0.5, 0.5, True),
        ("loss", 0.5, 0.4, True),
        ("loss", 0.5, math.nan, False),
        ("top1", 90.0, 91.0, True),
        ("top1", 90.0, 89.0, False),
        ("top1", 90.0, math.nan, False),
        ("test_top1", 90.0, 91.0, True),
        ("validation_top1", 90.0, 91.0, False),  # not evaluated in this row
        ("train_loss", 0.5, 0.1, False),
    ],
)
def test_a_target_is_reached_in_the_metrics_direction(name, value, score, reached):
    row = {"epoch": 1, "step": 2, "seconds": 3.0, f"test_{parted(name)[1]}": score}
    assert (time_to_target({"metric": name, "value": value}, metric(name).sign, row) is not None) is reached


def test_a_bare_metric_is_the_validation_splits_where_there_is_one():
    row = {"epoch": 1, "step": 2, "seconds": 3.0, "validation_loss": 0.6, "test_loss": 0.1}
    assert time_to_target({"metric": "loss", "value": 0.5}, -1, row) is None
    assert time_to_target({"metric": "test_loss", "value": 0.5}, -1, row) == {
        "epoch": 1,
        "step": 2,
        "seconds": 3.0,
        "metric": "test_loss",
        "value": 0.1,
    }
