"""Observer: freezes a step for the probes that are due, and turns what they measure into rows."""

from __future__ import annotations

import difflib
import math
import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from probes import observers
from probes.probe import Probe, Step, Values, Watched

Row = dict[str, Any]


def build(
    options: Mapping[str, Mapping[str, Any]], model: nn.Module, optimizer: Optimizer, streams_key: int
) -> Observer:
    """Return the observer of the probes in `options`, name -> keywords (the composed group `probe`; {} is none).

    streams_key: seed of the probes' own random draws. Raises ValueError, one line, for an unknown name or keyword.
    """
    known = [module.name for module in pkgutil.iter_modules(observers.__path__)]
    probes = {}
    for name, keywords in options.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise ValueError(f"probe: unknown {name!r}; allowed: {', '.join(known)}; nearest: {close[0]}")
        target = getattr(import_module(f"{observers.__name__}.{name}"), name.title())
        try:
            probes[name] = target(**keywords)
        except TypeError as error:
            raise ValueError(f"probe.{name}: {error}") from error
    return Observer(probes, model, optimizer, streams_key)


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
        self._tensors = list({w.name: w for watched in self._watched.values() for w in watched}.values())
        self._place = {watched.name: place for place, watched in enumerate(self._tensors)}
        self._due: dict[str, Probe] = {}
        self._step: Step | None = None

    def due(self, step: int) -> bool:
        """Tell whether any probe looks at `step`."""
        return any(probe.due(step) for probe in self._probes.values())

    @torch.no_grad()
    def begin(self, step: int, epoch: int) -> None:
        """Freeze the weights if a probe that is due at `step` needs them."""
        self._due = {name: probe for name, probe in self._probes.items() if probe.due(step)}
        if not self._due:
            return
        self._step = Step(step, epoch, self._tensors, self._key)
        if self._need("before"):
            self._step.before = [watched.parameter.detach().clone() for watched in self._tensors]

    @torch.no_grad()
    def gradients(self) -> None:
        """Freeze the gradients if a probe that is due needs them; a tensor without one has a gradient of zero."""
        if self._due and self._step is not None and self._need("gradients"):
            weights = [watched.parameter for watched in self._tensors]
            self._step.gradients = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in weights]

    def _need(self, what: str) -> bool:
        return any(what in probe.needs for probe in self._due.values())

    @torch.no_grad()
    def end(self, lr: float) -> list[Row]:
        """Return the rows of the probes that were due; `lr` is the rate that the step was taken with."""
        if not self._due or self._step is None:
            return []
        whole, rows = self._step, []
        for name, probe in self._due.items():
            values = probe.observe(self._part(whole, self._watched[name], lr))
            rows += self._rows(name, values, whole.step, whole.epoch)
        self._due, self._step = {}, None
        return rows

    def _part(self, whole: Step, watched: Sequence[Watched], lr: float) -> Step:
        """Return what one probe may see of a step."""
        places = [self._place[w.name] for w in watched]
        part = Step(whole.step, whole.epoch, watched, self._key, lr)
        part.before = [whole.before[i] for i in places] if whole.before else []
        part.gradients = [whole.gradients[i] for i in places] if whole.gradients else []
        return part

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


def _numbers(values: Values) -> dict[str, Any]:
    """Return plain numbers and lists, waiting for the device once; what is not finite becomes None."""
    flat = torch.cat([value.detach().reshape(-1).double() for value in values.values()]).tolist()
    finite = iter([number if math.isfinite(number) else None for number in flat])
    return {k: next(finite) if v.ndim == 0 else [next(finite) for _ in range(v.numel())] for k, v in values.items()}
