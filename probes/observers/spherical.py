"""Effective learning rate and step on the sphere, for any optimizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from optim.groups import radial_cosine
from probes.probe import Probe, Step, Values, Watched
from probes.scheme import division, table_rate
from probes.sphere import effective_rate, filters, sphere

NAMES = ("radius", "radial", "size", "angle", "rate", "table_rate", "gradient_step")


class Spherical(Probe):
    """What a step does on the spheres of the scale-invariant filters (AdamSRT, Eq. 11 to 13 and Figures 3 to 5).

    A tensor counts if its param group calls it invariant or, where no group says so of any tensor, if AdamP's test
    finds it invariant by filter at that step; the entries of the others are null. Means over a tensor's filters:
    `radius`, `angle` (radians), `rate` (`sphere.effective_rate`), `table_rate` (`scheme.table_rate`). Largest over
    them: `radial` (|A <c, u>|, Figure 3), `size` (eta^e ||c_perp||, Figure 4), `gradient_step` ((lr ||grad L(x)||)^2,
    Figure 5 for plain SGD). The scalars are the same over all tensors.
    """

    def __init__(self, delta: float = 0.1, **options: Any) -> None:
        """delta: threshold of the test, relative to 1 / sqrt(d)."""
        super().__init__(**options)
        self.delta = delta

    def observe(self, step: Step) -> Values:
        declared = any(watched.invariance != "none" for watched in step.tensors)
        columns = torch.stack([self.row(step, place, declared) for place in range(len(step.tensors))]).T
        per_layer = dict(zip(NAMES, columns, strict=True))
        return per_layer | self.summary(per_layer)

    def row(self, step: Step, place: int, declared: bool) -> Tensor:
        """Return the values of NAMES for one tensor, [7]; nan if the net is not known to be invariant to it."""
        watched, weight, gradient = step.tensors[place], step.before[place], step.gradients[place]
        kind = "layer" if watched.invariance == "layer" else "channel"
        moved = sphere(filters(weight, kind), filters(watched.parameter.detach(), kind))
        gradients = filters(gradient, kind)
        lr = float(watched.group["lr"])
        values = [
            moved.radius.mean(),
            moved.radial.abs().amax(),
            moved.size.amax(),
            moved.angle.mean(),
            effective_rate(moved, gradients).mean(),
            table_rate(moved, lr, division(watched, kind)).mean(),
            (lr * gradients.norm(dim=1)).square().amax(),
        ]
        return torch.where(self.counts(watched, weight, gradient, declared), torch.stack(values), torch.nan)

    def counts(self, watched: Watched, weight: Tensor, gradient: Tensor, declared: bool) -> Tensor:
        if declared:
            return torch.tensor(watched.invariance != "none", device=weight.device)
        return radial_cosine(weight, gradient, "channel") < self.delta

    @staticmethod
    def summary(per_layer: dict[str, Tensor]) -> dict[str, Tensor]:
        means = {f"mean_{name}": torch.nanmean(per_layer[name]) for name in ("radius", "angle", "rate", "table_rate")}
        largest = ("radial", "size", "gradient_step")
        return means | {f"max_{name}": per_layer[name].nan_to_num(nan=-torch.inf).amax() for name in largest}
