"""Which epoch a run is judged by: the last that counts, or the best on validation data; never the test set's best."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

Row = dict[str, Any]


class NoEpochCounts(Exception):
    """The budget ended before an epoch did that could be selected."""


class Selection:
    """Keeps the row of the epoch that a run is judged by, and its weights where training goes on past it.

    row: of that epoch, None before there is one. best_test: the epoch and scores of the best epoch on the test set,
    for the papers that report it.
    """

    def __init__(self, rule: str, metric: str, sign: int, timed: bool) -> None:
        """rule: last | best_validation; metric: by which an epoch is best; sign: 1 where more of it is better, -1 where
        less is; timed: the last epoch may not count.
        """
        self.rule, self.metric, self.sign = rule, metric, sign
        self.copies_weights = timed or rule == "best_validation"
        self.row: Row | None = None
        self.weights: dict[str, Tensor] | None = None
        self.best_test: Row | None = None

    def update(self, row: Row, counts: bool, model: nn.Module) -> None:
        """Consider an epoch that has ended; `counts` is False for one that ended past a timed budget."""
        if not counts:
            return
        test = f"test_{self.metric}"
        if test in row and (self.best_test is None or self._better(row, self.best_test, test)):
            self.best_test = {key: row[key] for key in row if key == "epoch" or key.startswith("test_")}
        if self._prefers(row):
            self.row = row
            if self.copies_weights:
                self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def _prefers(self, row: Row) -> bool:
        score = f"validation_{self.metric}"
        return self.rule == "last" or (score in row and (self.row is None or self._better(row, self.row, score)))

    def _better(self, one: Row, other: Row, score: str) -> bool:
        return math.isnan(other[score]) or bool(self.sign * one[score] > self.sign * other[score])

    def state_dict(self) -> Row:
        """Return what a resumed run needs."""
        return {"row": self.row, "weights": self.weights, "best_test": self.best_test}

    def load_state_dict(self, saved: Row) -> None:
        """Go on from what `state_dict` returned."""
        self.row, self.weights, self.best_test = saved["row"], saved["weights"], saved["best_test"]


def time_to_target(target: Mapping[str, Any], sign: int, row: Row) -> Row | None:
    """Return where an epoch's row reached a target (epoch, step, seconds, value), None if it did not; a NaN never does.

    target: `metric` and `value`; the metric is named with its split, or bare: of the validation split where there is
    one, else of the test split. sign: 1 where more of it is better, -1 where less is.
    """
    metric, value = target["metric"], target["value"]
    names = (metric, f"validation_{metric}", f"test_{metric}")
    name = next((name for name in names if name in row), None)
    if name is None or not sign * row[name] >= sign * value:
        return None
    return {key: row[key] for key in ("epoch", "step", "seconds")} | {"metric": name, "value": row[name]}
