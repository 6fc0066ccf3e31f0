"""The state of a run: what the loop counts, and what a result tells of it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from training import mixing
from training.budget import Budget, Clock, spread
from training.distribution import World
from training.meter import Meter
from training.schedule import Horizon
from training.selection import NoEpochCounts, Row, Selection
from training.tasks.base import Carried


@dataclass
class TrainState:
    """How long a run is, and what it has done so far.

    meter: of the current epoch. carried: by the task from the last batch to the next, for each of its pieces; empty at
    an epoch's start. step: steps taken. ended_at: the step at which the last finished epoch ended.
    epoch_seconds: on the clock. step_seconds: of this process since its start. reached: where the target was reached.
    """

    budget: Budget
    steps_per_epoch: int
    clock: Clock
    meter: Meter
    selection: Selection
    step: int = 0
    ended_at: int = 0
    epoch_seconds: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    reached: Row | None = None
    carried: list[Carried] = field(default_factory=list)

    @property
    def total_steps(self) -> int | None:
        """The run's length; a timed budget has none before its first epoch is over."""
        return self.budget.total_steps(self.steps_per_epoch, next(iter(self.epoch_seconds), None))

    @property
    def horizon(self) -> Horizon:
        """The run's length as a schedule sees it."""
        return Horizon(self.steps_per_epoch, self.total_steps or 10**9)

    @property
    def epoch(self) -> int:
        """The number of the epoch that the last step was in; the first is 1."""
        return -(-self.step // self.steps_per_epoch)

    def steps_left(self) -> int | None:
        """Return how many steps there are still to take; None for as many as come."""
        return self.budget.left(self.step, self.steps_per_epoch)

    def over(self) -> bool:
        """Tell whether the budget is used up."""
        return self.budget.over(self.step, self.steps_per_epoch, self.clock.seconds)

    def epoch_end_pending(self) -> bool:
        """Tell whether an epoch's last step is taken and its end is not; a checkpoint may lie between the two."""
        return self.ended_at != self.step and (self.step % self.steps_per_epoch == 0 or self.over())

    @contextmanager
    def counted_step(self) -> Iterator[None]:
        """Count the step that is taken in the block, and how long it takes."""
        began = time.monotonic()
        yield
        self.step += 1
        self.step_seconds.append(time.monotonic() - began)

    def count_epoch(self, seconds: float) -> None:
        """Note the end of an epoch; seconds: on the clock of process 0, or processes would end apart."""
        self.clock.seconds = seconds
        self.epoch_seconds.append(seconds - sum(self.epoch_seconds))
        self.ended_at = self.step

    def look_at_target(self, reached: Row | None) -> None:
        """Keep where the target was first reached; reached: of the epoch that has ended, None if it was not."""
        self.reached = self.reached or reached

    def next_epoch(self, meter: Meter) -> None:
        """Go on to the next epoch, with an empty meter and nothing carried over."""
        self.meter, self.carried = meter, []

    def state_dict(self, world: World) -> dict[str, Any]:
        """Return what a resumed run needs. Every process has to ask for it, since each has counted its own part."""
        return {
            "clock": self.clock.seconds,
            "meters": world.gather_objects([self.meter.state_dict()]),
            "carried": world.gather_objects([self.carried]),
            "selection": self.selection.state_dict(),
            **{name: getattr(self, name) for name in ("step", "ended_at", "epoch_seconds", "reached")},
        }

    def load_state_dict(self, saved: Mapping[str, Any], world: World, device: torch.device) -> None:
        """Go on from what `state_dict` returned."""
        self.clock.seconds = saved["clock"]
        self.meter.load_state_dict(saved["meters"][world.rank], device)
        self.carried = mixing.mapped(saved["carried"][world.rank], lambda tensor: tensor.to(device))
        self.selection.load_state_dict(saved["selection"])
        self.step, self.ended_at = saved["step"], saved["ended_at"]
        self.epoch_seconds, self.reached = saved["epoch_seconds"], saved["reached"]


def load_selected_weights(state: TrainState, model: nn.Module, scores: Callable[[], Row]) -> None:
    """Give the net the selected epoch's weights, and this epoch its test scores, if it was not evaluated.

    scores: evaluates the net. Raises NoEpochCounts where no epoch was selected.
    """
    chosen = state.selection
    if chosen.row is None:
        limit, first = f"{state.budget.seconds:.3g} s", state.epoch_seconds[0]
        raise NoEpochCounts(
            f"no epoch that can be selected ended within the budget of {limit}; the first took {first:.3g} s"
        )
    if chosen.weights is not None:
        model.load_state_dict(chosen.weights)
    if f"test_{chosen.metric}" not in chosen.row:
        chosen.row.update(scores())


def outcome(ending: str, state: TrainState, target: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a run that is `done` or `diverged` (seconds, percent). target: as the configuration has it.

    A diverged run has the metrics of the last epoch that it finished.
    """
    row = state.selection.row or {}
    return {
        "state": ending,
        "metrics": {key: value for key, value in row.items() if key not in ("epoch", "step", "seconds")},
        "selection": state.selection.rule,
        "selected": {key: row.get(key) for key in ("epoch", "step", "seconds")},
        "best_on_test": state.selection.best_test,
        "target": {**target, "reached": state.reached},
        "steps": state.step,
        "epochs": state.step / state.steps_per_epoch,
        "budget_seconds": state.budget.seconds if state.budget.timed else None,
        "time": {
            "train_seconds": state.clock.seconds,
            "epoch_seconds": spread(state.epoch_seconds),
            "step_seconds": spread(state.step_seconds),
        },
    }
