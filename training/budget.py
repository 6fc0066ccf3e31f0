"""How long a run trains: a number of steps, known at the start or predicted from the clock."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Seconds of training; evaluation, probes, checkpoints, compilation and warm-up happen while it stands."""

    seconds: float = 0.0
    _since: float | None = field(default=None, repr=False)

    def start(self) -> None:
        self._since = time.monotonic()  # not the wall clock, which may jump

    def pause(self) -> None:
        if self._since is not None:
            self.seconds += time.monotonic() - self._since
            self._since = None

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Stop the clock, if it runs, for the length of a block."""
        runs = self._since is not None
        self.pause()
        try:
            yield
        finally:
            if runs:
                self.start()


class Budget:
    """Says how many steps a run has, and whether a finished epoch still counts."""

    timed = False

    def total_steps(self, steps_per_epoch: int, seconds_per_epoch: float | None) -> int | None:
        """Return the run's length in steps; None while it cannot be told yet (no epoch has been timed)."""
        raise NotImplementedError

    def over(self, step: int, total_steps: int | None, seconds: float) -> bool:
        """Tell whether training ends after `step` steps and `seconds` on the clock."""
        return total_steps is not None and step >= total_steps


@dataclass(frozen=True)
class Epochs(Budget):
    epochs: int

    def total_steps(self, steps_per_epoch: int, seconds_per_epoch: float | None) -> int:
        return self.epochs * steps_per_epoch


@dataclass(frozen=True)
class Steps(Budget):
    steps: int

    def total_steps(self, steps_per_epoch: int, seconds_per_epoch: float | None) -> int:
        return self.steps


@dataclass(frozen=True)
class Seconds(Budget):
    """Whole epochs until the clock passes `seconds`; the last epoch that ends within the budget counts."""

    seconds: float
    timed = True

    def total_steps(self, steps_per_epoch: int, seconds_per_epoch: float | None) -> int | None:
        if seconds_per_epoch is None:
            return None
        return max(1, int(self.seconds / seconds_per_epoch)) * steps_per_epoch

    def over(self, step: int, total_steps: int | None, seconds: float) -> bool:
        return seconds >= self.seconds


@dataclass(frozen=True)
class WallclockOf(Seconds):
    """RMSGD's rule (Section 4): the training time of `epochs` epochs of the optimizer `reference`.

    `seconds` is measured before the first step, once (train.py), and written in the run's folder.
    """

    seconds: float = float("nan")
    reference: str = "sgd"
    epochs: int = 250
