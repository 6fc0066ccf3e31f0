"""Who takes steps. Most tasks have one player, with the whole net; a critic and a generator are two."""

from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn
from torch.optim import Optimizer

from training.checkpoints import Stateful

Row = dict[str, Any]


class Observer(Stateful, Protocol):
    """What looks at a player's steps, as probes/observer.py describes it."""

    def due(self, step: int) -> bool:
        """Tell whether it looks at `step`."""

    def begin(self, step: int, epoch: int) -> None:
        """Look before a step."""

    def gradients(self) -> None:
        """Look after the first backward pass."""

    def end(self, lr: float) -> list[Row]:
        """Look after the step; returns what is logged."""

    def epoch_end(self, epoch: int) -> list[Row]:
        """Look after an epoch; returns what is logged."""


@dataclass(frozen=True)
class Player:
    """A part of the net, the optimizer that trains it, its groups as plain data, and what observes it."""

    name: str
    net: nn.Module
    optimizer: Optimizer
    groups: list[Row]
    observer: Observer

    @property
    def lr(self) -> float:
        """The learning rate of its first group."""
        return float(self.optimizer.param_groups[0]["lr"])
