"""How to write a probe: the complete guide.

A probe measures one thing. It is a class `<Name>(Probe)`, listed in `PROBES` of `probes/observer.py` and chosen by
`probe=<name>` through `conf/probe/<name>.yaml`, whose one key `<name>` holds the keywords of `__init__`.

    needs           what Observer keeps of a step for it: "before" (the weights), "gradients" (of the first backward)
    due(step)       whether to look at this step (from 0); by default every `every` steps
    observe(step)   the measured values by name: 0-d tensors, or 1-d tensors with one entry per tensor in `step.tensors`
    epoch_end(...)  the same at the end of an epoch, where only the weights are there
    state           what a resumed run needs of earlier steps: a dict of tensors and numbers

Rules. Never write into a weight, a gradient or the optimizer. Leave values on the device: Observer waits for it once a
row. Draw random numbers from `step.generator()` alone. A value that is not finite is written as null.
"""

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from optim.stages.base import near

Values = Mapping[str, Tensor]


@dataclass(frozen=True)
class Watched:
    """One trainable tensor: its name, itself, the param group that steps it, and that group's optimizer."""

    name: str
    parameter: nn.Parameter
    group: Mapping[str, Any]
    optimizer: Optimizer

    @property
    def invariance(self) -> str:
        """What its optimizer was told of it: "channel", "layer" or "none"."""
        return str(self.group.get("invariance", "none"))

    def buffer(self, name: str) -> Any:
        """What its optimizer keeps of it under `name` or `<stage>.<name>`; None if nothing."""
        state = self.optimizer.state.get(self.parameter, {})
        return next((value for key, value in state.items() if key.rpartition(".")[2] == name), None)


@dataclass
class Step:
    """A step, frozen: entries of `before`, `after`, `gradients` belong to the entries of `tensors`.

    `before` and `gradients` are empty where no probe that is due needs them. `lr` is what the trainer set.
    """

    step: int
    epoch: int
    tensors: Sequence[Watched]
    key: int
    lr: float = 0.0
    before: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)

    @property
    def after(self) -> list[Tensor]:
        return [watched.parameter.detach() for watched in self.tensors]

    def generator(self) -> torch.Generator:
        """Return a stream of this step's own."""
        return torch.Generator().manual_seed((self.key + self.step) % 2**63)


class Probe:
    """Base of all probes (see the module's guide)."""

    needs: ClassVar[frozenset[str]] = frozenset({"before", "gradients"})
    matrices_only: ClassVar[bool] = True

    def __init__(self, every: int = 100, layers: Sequence[str] = ("*",), per_layer: bool = True) -> None:
        """every: steps from one look to the next. layers: name patterns. per_layer: False writes scalars alone."""
        self.every, self.layers, self.per_layer = every, layers, per_layer

    def watches(self, tensors: Iterable[Watched]) -> list[Watched]:
        """Return the tensors that this probe looks at; raises ValueError, one line, for a pattern without a match."""
        known = {w.name: w for w in tensors if w.parameter.ndim > 1 or not self.matrices_only}
        for pattern in self.layers:
            if not fnmatch.filter(known, pattern):
                raise ValueError(f"probe layers: pattern {pattern!r} matches no weight{near(pattern, known, cutoff=0)}")
        return [w for name, w in known.items() if any(fnmatch.fnmatch(name, pattern) for pattern in self.layers)]

    def due(self, step: int) -> bool:
        return step % self.every == 0

    def observe(self, step: Step) -> Values:
        return {}

    def epoch_end(self, epoch: int, tensors: Sequence[Watched]) -> Values:
        return {}

    @property
    def state(self) -> dict[str, Any]:
        return {}

    @state.setter
    def state(self, saved: dict[str, Any]) -> None:
        """Take up what `state` gave."""
