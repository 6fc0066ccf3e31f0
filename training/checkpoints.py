"""Checkpoints: all that an exact resume needs, written when they are due.

The random streams need nothing: they depend on the seed and on counters alone.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import nn

from training.distribution import World
from training.state import TrainState

FORMAT = 3  # of a checkpoint; raised when its parts change


class Stateful(Protocol):
    """A part of a run that is stored whole: the net, the optimizer, the observer."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, as tensors, numbers and text."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Go on from what `state_dict` returned."""


class Folder(Protocol):
    """Where checkpoints lie: a run's record."""

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Return the last one, if there is one."""

    def save_checkpoint(self, state: Mapping[str, Any], step: int, *, required: bool = False) -> bool:
        """Write one, and tell whether that was possible; required: else raise."""


class Checkpoints:
    """Reads and writes the checkpoints of a run; every process has to ask for them at the same step."""

    def __init__(
        self, folder: Folder, state: TrainState, model: nn.Module, parts: Mapping[str, Stateful], world: World,
        flush: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """model: which all processes have to agree on. parts: what is stored whole beside the state, by name. flush:
        writes what the log has to hold before a checkpoint.
        """
        self._folder, self._state, self._model, self._world, self._flush = folder, state, model, world, flush
        self.parts = parts
        self._saved_at = time.monotonic()

    def content(self) -> dict[str, Any]:
        """Return all that an exact resume needs, at a step's end; every process has to ask for it."""
        stored = {name: part.state_dict() for name, part in self.parts.items()}
        return {"format": FORMAT, "train": self._state.state_dict(self._world), **stored}

    def resume(self, device: torch.device) -> bool:
        """Put the parts back into the state of process 0's last checkpoint, and tell whether there was one.

        Raises ValueError for a checkpoint that another version of this code wrote; nothing of it is lost.
        """
        saved = self._world.broadcast_object(self._folder.load_checkpoint())
        if saved is None:
            return False
        found = saved.get("format", 1)
        if found != FORMAT:
            raise ValueError(
                f"its checkpoints have format {found}, this version of stepbench reads {FORMAT}: "
                "go on with the version that wrote them, or delete them to start afresh"
            )
        for name, part in self.parts.items():
            part.load_state_dict(saved[name])
        self._state.load_state_dict(saved["train"], self._world, device)
        return True

    def save(self, required: bool = False) -> None:
        """Write a checkpoint, off the clock."""
        with self._state.clock.paused():
            self._world.require_equal(self._model)
            self._flush()
            self._folder.save_checkpoint(self.content(), self._state.step, required=required)
            self._saved_at = time.monotonic()

    def save_when_due(self, every_steps: int, every_minutes: float, agreed: bool, device: torch.device) -> None:
        """Write one when it is due, by the clock only where all processes can agree (`agreed`) that it is time."""
        late = agreed and self._world.any(time.monotonic() - self._saved_at > 60 * every_minutes, device)
        if late or (every_steps and self._state.step % every_steps == 0):
            self.save()
