"""Learning-rate schedules: pure functions of the step, so that a resume has nothing to restore."""

import math
from bisect import bisect_right
from dataclasses import dataclass

from torch.optim import Optimizer


@dataclass(frozen=True)
class Horizon:
    """How long the run is: steps in an epoch, and in all."""

    steps_per_epoch: int
    total_steps: int

    @property
    def epochs(self) -> int:
        """The run's epochs, the last perhaps cut."""
        return math.ceil(self.total_steps / self.steps_per_epoch)


@dataclass(frozen=True)
class Schedule:
    """A factor on every group's initial learning rate, after an optional linear warm-up from `warmup_start`."""

    warmup_epochs: float = 0.0
    warmup_fraction: float = 0.0
    warmup_start: float = 0.0

    def factor(self, step: int, horizon: Horizon) -> float:
        """Return the factor at `step` (0 = the first)."""
        warmup = self.warmup_steps(horizon)
        if step < warmup:
            return self.warmup_start + (1 - self.warmup_start) * (step + 1) / warmup
        return self.main(step, warmup, horizon)

    def warmup_steps(self, horizon: Horizon) -> int:
        """Return the length of the warm-up in steps."""
        return round(self.warmup_epochs * horizon.steps_per_epoch + self.warmup_fraction * horizon.total_steps)

    def main(self, step: int, warmup: int, horizon: Horizon) -> float:
        """Return the factor after the warm-up; milestones count from the start of the run."""
        raise NotImplementedError

    def unfinished(self, horizon: Horizon) -> str | None:
        """Say what of the schedule the run will never reach, if anything: here the end of the warm-up."""
        warmup, steps = self.warmup_steps(horizon), horizon.total_steps
        return f"schedule: a warm-up of {warmup} steps; the run has {steps}" if warmup and warmup >= steps else None

    def apply(self, optimizer: Optimizer, step: int, horizon: Horizon, rate: float = 1.0) -> float:
        """Set every group's learning rate for `step`; returns the first group's. rate: the batch's own factor."""
        factor = self.factor(step, horizon) * rate
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor
        return float(optimizer.param_groups[0]["lr"])


@dataclass(frozen=True)
class Constant(Schedule):
    """The full rate to the end."""

    def main(self, step: int, warmup: int, horizon: Horizon) -> float:
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class ToTheEnd(Schedule):
    """From 1 to `final` over what the warm-up leaves of the run, updated each step or each epoch."""

    final: float = 0.0
    per: str = "step"

    def main(self, step: int, warmup: int, horizon: Horizon) -> float:
        """Return the factor after the warm-up."""
        if self.per == "epoch":
            step = max(warmup, step - step % horizon.steps_per_epoch)
        progress = min(1.0, (step - warmup) / max(1, horizon.total_steps - warmup))
        return self.final + (1 - self.final) * self.shape(progress)

    def shape(self, progress: float) -> float:
        """Return the way from 1 to 0 for a progress in [0, 1]."""
        raise NotImplementedError


@dataclass(frozen=True)
class Cosine(ToTheEnd):
    """Half a cosine (Loshchilov and Hutter 2017, without restarts)."""

    def shape(self, progress: float) -> float:
        """Return half a cosine's height."""
        return 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class ConstantCosine(Cosine):
    """The full rate for the share `constant` of what the warm-up leaves, then half a cosine (SING, C.4)."""

    constant: float = 0.6

    def shape(self, progress: float) -> float:
        """Return 1, and then half a cosine's height."""
        return super().shape(max(0.0, progress - self.constant) / (1 - self.constant))


@dataclass(frozen=True)
class Linear(ToTheEnd):
    """A straight line."""

    def shape(self, progress: float) -> float:
        """Return the line's height."""
        return 1 - progress


@dataclass(frozen=True)
class InverseSqrt(Schedule):
    """sqrt(warm-up / step) after the warm-up (Vaswani et al. 2017, 5.3); without one, 1 / sqrt(step)."""

    def main(self, step: int, warmup: int, horizon: Horizon) -> float:
        """Return the factor; the first step is 1."""
        return math.sqrt(max(1, warmup) / (step + 1))


@dataclass(frozen=True)
class RangeTest(Schedule):
    """Exponentially from `start` to 1, over what the warm-up leaves of the run (Smith 2017, "LR range test")."""

    start: float = 1e-5

    def main(self, step: int, warmup: int, horizon: Horizon) -> float:
        """Return the factor after the warm-up."""
        progress = min(1.0, (step - warmup) / max(1, horizon.total_steps - 1 - warmup))
        return float(self.start ** (1 - progress))


@dataclass(frozen=True)
class Step(Schedule):
    """Times `gamma` every `step_size` epochs (torch's StepLR, stepped at each epoch's end)."""

    step_size: int = 25
    gamma: float = 0.5

    def main(self, step: int, warmup: int, horizon: Horizon) -> float:
        """Return the factor; the warm-up does not shift it."""
        return float(self.gamma ** (step // horizon.steps_per_epoch // self.step_size))

    def unfinished(self, horizon: Horizon) -> str | None:
        """Say so if the rate never falls."""
        epochs = horizon.epochs
        late = f"schedule.step_size: {self.step_size} lies behind the run's end at epoch {epochs}"
        return super().unfinished(horizon) or (late if self.step_size >= epochs else None)


@dataclass(frozen=True)
class MultiStep(Schedule):
    """Times `gamma` at each milestone, in epochs (torch's MultiStepLR)."""

    milestones: tuple[int, ...] = (60, 120, 160)
    gamma: float = 0.1

    def main(self, step: int, warmup: int, horizon: Horizon) -> float:
        """Return the factor; the warm-up does not shift it."""
        return float(self.gamma ** bisect_right(sorted(self.milestones), step // horizon.steps_per_epoch))

    def unfinished(self, horizon: Horizon) -> str | None:
        """Name the milestones that the run never comes to."""
        epochs = horizon.epochs
        late = [milestone for milestone in self.milestones if milestone >= epochs]
        words = f"schedule.milestones: {late} lie behind the run's end at epoch {epochs}" if late else None
        return super().unfinished(horizon) or words
