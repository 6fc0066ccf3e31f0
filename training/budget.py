"""How long a run trains: a number of steps, known at the start or predicted from the clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Seconds of training; evaluation, probes, checkpoints, compilation and warm-up happen while it stands.

    settle: waits until the device has done what it was given, so that a pause never lets work run unmeasured.
    """

    seconds: float = 0.0
    settle: Callable[[], None] = field(default=lambda: None, repr=False)
    _since: float | None = field(default=None, repr=False)

    def start(self) -> None:
        self._since = time.monotonic()  # not the wall clock, which may jump

    def pause(self) -> None:
        if self._since is not None:
            self.settle()
            self.seconds += time.monotonic() - self._since
            self._since = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the clock run for the length of a block."""
        self.start()
        try:
            yield
        finally:
            self.pause()

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
    """Says how many steps a run has, when it is over, and whether a finished epoch still counts."""

    timed = False

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
        return True


@dataclass(frozen=True)
class Epochs(Budget):
    epochs: int = 30

    def total_steps(self, steps_per_epoch: int, first_epoch_seconds: float | None) -> int:
        return self.epochs * steps_per_epoch


@dataclass(frozen=True)
class Steps(Budget):
    steps: int = 1000

    def total_steps(self, steps_per_epoch: int, first_epoch_seconds: float | None) -> int:
        return self.steps


@dataclass(frozen=True)
class Seconds(Budget):
    """Whole epochs until the clock passes `seconds`; the last epoch that ends within the budget counts."""

    seconds: float = 60.0
    timed = True

    def total_steps(self, steps_per_epoch: int, first_epoch_seconds: float | None) -> int | None:
        if first_epoch_seconds is None:
            return None
        return max(1, int(self.seconds / first_epoch_seconds)) * steps_per_epoch

    def over(self, step: int, steps_per_epoch: int, seconds: float) -> bool:
        return step % steps_per_epoch == 0 and seconds >= self.seconds

    def counts(self, seconds: float) -> bool:
        return seconds <= self.seconds


@dataclass(frozen=True)
class WallclockOf(Seconds):
    """RMSGD's rule (Section 5.1): the training time of `epochs` epochs of the optimizer `reference`.

    `seconds` is not given but measured, once, before the first step (train.py).
    """

    seconds: float = float("nan")
    reference: str = "sgd"
    epochs: int = 250

    def total_steps(self, steps_per_epoch: int, first_epoch_seconds: float | None) -> int:
        return super().total_steps(steps_per_epoch, first_epoch_seconds) or self.epochs * steps_per_epoch
