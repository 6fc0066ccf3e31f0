"""How long a run trains: a number of steps, known at the start or predicted from the clock; and the clock itself."""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Clock:
    """Seconds of training; it is paused in evaluation, probes, checkpoints, compilation and warm-up.

    synchronize: waits until the device has done what it was given, so that a pause never lets work run unmeasured.
    """

    seconds: float = 0.0
    synchronize: Callable[[], None] = field(default=lambda: None, repr=False)
    _since: float | None = field(default=None, repr=False)

    def start(self) -> None:
        """Count from now on."""
        self._since = time.monotonic()  # not the wall clock, which may jump

    def stop(self) -> None:
        """Add what has passed since the start, if it was started."""
        if self._since is not None:
            self.synchronize()
            self.seconds += time.monotonic() - self._since
            self._since = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the clock run for the length of a block."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock, if it runs, for the length of a block."""
        runs = self._since is not None
        self.stop()
        try:
            yield
        finally:
            if runs:
                self.start()


def spread(seconds: list[float]) -> dict[str, Any]:
    """Return n, median and interquartile range of durations, the first (warm-up, compilation) left out."""
    counted = seconds[1:]
    if not counted:
        return {"n": 0, "median": None, "iqr": None}
    quartiles = statistics.quantiles(counted, n=4, method="inclusive") if len(counted) > 1 else [counted[0]] * 3
    return {"n": len(counted), "median": statistics.median(counted), "iqr": quartiles[2] - quartiles[0]}


class Budget:
    """Says how many steps a run has, when it is over, and whether a finished epoch still counts."""

    timed = False
    seconds: float = math.inf

    def total_steps(self, steps_per_epoch: int, first_epoch_seconds: float | None) -> int | None:
        """Return the run's length in steps; None while it cannot be told yet (no epoch has been timed)."""
        raise NotImplementedError

    def over(self, step: int, steps_per_epoch: int, seconds: float) -> bool:
        """Tell whether training ends after `step` steps and `seconds` on the clock."""
        total = self.total_steps(steps_per_epoch, None)
        return total is not None and step >= total

    def left(self, step: int, steps_per_epoch: int) -> int | None:
        """Return how many steps there are still to take; None for as many as come."""
        total = None if self.timed else self.total_steps(steps_per_epoch, None)
        return None if total is None else total - step

    def counts(self, seconds: float) -> bool:
        """Tell whether an epoch that ended at `seconds` on the clock is part of the run."""
        return seconds <= self.seconds


@dataclass(frozen=True)
class Epochs(Budget):
    """A number of epochs."""

    epochs: int = 30

    def total_steps(self, steps_per_epoch: int, first_epoch_seconds: float | None) -> int:
        """Return the steps of all epochs."""
        return self.epochs * steps_per_epoch


@dataclass(frozen=True)
class Steps(Budget):
    """A number of steps."""

    steps: int = 1000

    def total_steps(self, steps_per_epoch: int, first_epoch_seconds: float | None) -> int:
        """Return that number."""
        return self.steps


@dataclass
class Seconds(Budget):
    """Whole epochs until the clock passes `seconds`; the last epoch that ends within the budget counts."""

    seconds: float = 60.0
    timed = True

    def total_steps(self, steps_per_epoch: int, first_epoch_seconds: float | None) -> int | None:
        """Return the steps that fit, if all epochs take as long as the first; see `Budget.total_steps`."""
        if first_epoch_seconds is None:
            return None
        return max(1, int(self.seconds / first_epoch_seconds)) * steps_per_epoch

    def over(self, step: int, steps_per_epoch: int, seconds: float) -> bool:
        """Tell whether an epoch has ended and the seconds have passed."""
        return step % steps_per_epoch == 0 and seconds >= self.seconds


@dataclass
class WallclockOf(Seconds):
    """RMSGD's rule (Section 5.1): the training time of `epochs` epochs of the optimizer `reference`.

    `seconds` is not given but measured once, before the first step: conf/reference.py says which run is the reference,
    record/provenance.py where it lies and what it took, `fix_budget` in train.py makes it.
    """

    seconds: float = float("nan")
    reference: str = "sgd"
    epochs: int = 250

    def total_steps(self, steps_per_epoch: int, first_epoch_seconds: float | None) -> int:
        """Return the steps that fit; before the first epoch has been timed those of the reference."""
        return super().total_steps(steps_per_epoch, first_epoch_seconds) or self.epochs * steps_per_epoch

    def measured(self, seconds: float | None, epoch_seconds: float | None) -> float:
        """Take the seconds that the run was given before, else `epochs` times those of an epoch; returns them."""
        self.seconds = seconds or self.epochs * (epoch_seconds or math.nan)
        return self.seconds
