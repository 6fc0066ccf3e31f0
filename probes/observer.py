"""Observer: freezes a step for the probes that are due, and turns what they measure into rows."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from optim.stages.base import near
from probes.invariance import Cosine, Projection, Spherical
from probes.norms import Blocks, Gradient, Norms, Ranks
from probes.probe import Probe, Step, Values, Watched

Row = dict[str, Any]
Options = Mapping[str, Mapping[str, Any]]  # of probes, by name
PROBES = {probe.__name__.lower(): probe for probe in (Blocks, Cosine, Gradient, Norms, Projection, Ranks, Spherical)}


class Observer:
    """Runs probes around the steps of any torch optimizer; without probes it costs nothing.

    Call `begin` before a step, `gradients` right after its first backward pass, `end` after it, `epoch_end` between
    epochs. A row is {"probe", "step", "epoch", "values"}, and "layers" where values holds lists: their tensors.
    """

    def __init__(self, probes: Mapping[str, Probe], model: nn.Module, optimizer: Optimizer, key: int) -> None:
        groups = {p: group for group in optimizer.param_groups for p in group["params"]}
        tensors = [Watched(name, p, groups[p], optimizer) for name, p in model.named_parameters() if p in groups]
        self._probes, self._key = dict(probes), key
        self._watched = {name: probe.watches(tensors) for name, probe in self._probes.items()}
        self._steps: dict[str, Step] = {}  # of the probes that are due

    def due(self, step: int) -> bool:
        """Tell whether any probe looks at `step`."""
        return any(probe.due(step) for probe in self._probes.values())

    @torch.no_grad()
    def begin(self, step: int, epoch: int) -> None:
        """Freeze the weights that the probes which are due at `step` need."""
        due = [name for name, probe in self._probes.items() if probe.due(step)]
        self._steps = {name: Step(step, epoch, self._watched[name], self._key) for name in due}
        for name, weights in self._copies("before", torch.clone).items():
            self._steps[name].before = weights

    @torch.no_grad()
    def gradients(self) -> None:
        """Freeze the gradients that the probes which are due need; a tensor without one has a gradient of zero."""
        copies = self._copies("gradients", lambda p: torch.zeros_like(p) if p.grad is None else p.grad.clone())
        for name, gradients in copies.items():
            self._steps[name].gradients = gradients

    def _copies(self, what: str, copy: Callable[[Tensor], Tensor]) -> dict[str, list[Tensor]]:
        """Return copies of the tensors of each probe that is due, each tensor once; of a probe without need none."""
        needed = {name: step.tensors if what in self._probes[name].needs else [] for name, step in self._steps.items()}
        copies = {w.name: copy(w.parameter) for tensors in needed.values() for w in tensors}
        return {name: [copies[w.name] for w in tensors] for name, tensors in needed.items()}

    @torch.no_grad()
    def end(self, lr: float) -> list[Row]:
        """Return the rows of the probes that were due; `lr` is the rate that the step was taken with."""
        rows, steps, self._steps = [], self._steps, {}
        for name, step in steps.items():
            step.lr = lr
            rows += self._rows(name, self._probes[name].observe(step), step.step, step.epoch)
        return rows

    @torch.no_grad()
    def epoch_end(self, epoch: int) -> list[Row]:
        """Return the rows of the probes that look at the weights after an epoch (the first is 1)."""
        rows = []
        for name, probe in self._probes.items():
            rows += self._rows(name, probe.epoch_end(epoch, self._watched[name]), None, epoch)
        return rows

    def _rows(self, name: str, values: Values, step: int | None, epoch: int) -> list[Row]:
        shown = {key: v for key, v in values.items() if v.ndim == 0 or self._probes[name].per_layer}
        if not shown:
            return []
        row: Row = {"probe": name} | ({} if step is None else {"step": step}) | {"epoch": epoch}
        if any(value.ndim for value in shown.values()):
            row["layers"] = [watched.name for watched in self._watched[name]]
        return [row | {"values": _numbers(shown)}]

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs so that its rows are those of an uninterrupted one."""
        return {name: probe.state for name, probe in self._probes.items() if probe.state}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take up `state_dict`; the state of a probe that is not there any more is dropped."""
        for name in saved.keys() & self._probes.keys():
            self._probes[name].state = saved[name]


def build(options: Options, model: nn.Module, optimizer: Optimizer, streams_key: int) -> Observer:
    """Return the observer of the probes in `options`, name -> keywords (the composed group `probe`; {} is none).

    streams_key: seed of the probes' own random draws. Raises ValueError, one line, for an unknown name or keyword.
    """
    probes = {}
    for name, keywords in options.items():
        if name not in PROBES:
            raise ValueError(f"probe: unknown {name!r}; allowed: {', '.join(PROBES)}{near(name, PROBES)}")
        try:
            probes[name] = PROBES[name](**keywords)
        except TypeError as error:
            raise ValueError(f"probe.{name}: {error}") from error
    return Observer(probes, model, optimizer, streams_key)


def _numbers(values: Values) -> dict[str, Any]:
    """Return plain numbers and lists, waiting for the device once; what is not finite becomes None."""
    flat = torch.cat([value.detach().reshape(-1).double() for value in values.values()]).tolist()
    finite = iter([number if math.isfinite(number) else None for number in flat])
    return {k: next(finite) if v.ndim == 0 else [next(finite) for _ in range(v.numel())] for k, v in values.items()}
