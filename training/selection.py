"""Which epoch a run is judged by: the last that counts, or the best on validation data; never the test set's best."""

import math
from typing import Any

from torch import Tensor, nn

Row = dict[str, Any]


class Selection:
    """Keeps the row, and where training goes on past it the weights, of the epoch that stands for the run."""

    def __init__(self, rule: str, metric: str, sign: int, timed: bool) -> None:
        """rule: last | best_validation; metric: by which an epoch is best; sign: 1 where more of it is better, -1 where
        less is; timed: the last epoch may not count.
        """
        self.rule, self.metric, self.sign = rule, metric, sign
        self.copies_weights = timed or rule == "best_validation"
        self.row: Row | None = None
        self.weights: dict[str, Tensor] | None = None
        self.best_test: Row | None = None

    def offer(self, row: Row, counts: bool, model: nn.Module) -> None:
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
        if self.rule == "last" or self.row is None:
            return self.rule == "last" or f"validation_{self.metric}" in row
        score = f"validation_{self.metric}"
        return score in row and self._better(row, self.row, score)

    def _better(self, one: Row, other: Row, score: str) -> bool:
        return math.isnan(other[score]) or bool(self.sign * one[score] > self.sign * other[score])

    def state(self) -> Row:
        return {"row": self.row, "weights": self.weights, "best_test": self.best_test}

    def load_state(self, state: Row) -> None:
        self.row, self.weights, self.best_test = state["row"], state["weights"], state["best_test"]
