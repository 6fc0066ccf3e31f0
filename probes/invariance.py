"""Scale invariance at a step: the cosine of weight and gradient, AdamP's test, and the step on AdamSRT's sphere.

AdamSRT, Section 2.3: for a filter x of norm r and direction u, any optimizer's step D = x_k - x_{k+1} is A c r in the
paper's letters: A = eta / (r^2 d^-1/2 ||b||), c = r a / (b / (d^-1/2 ||b||)). `sphere` needs neither a nor b, only the
weights before and after; Table 1's rate needs b, which `division` reads from the optimizer's state.
"""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from optim.invariance import radial_cosine
from probes.probe import Probe, Step, Values, Watched


class Cosine(Probe):
    """|cos(w, grad)| of each tensor (AdamP, Eq. 11 and Section C): rounding error for a scale-invariant weight.

    `cosine` is of the whole tensor; `channel` and `whole` are sqrt(d) max |cos| over its filters, and of it whole,
    which AdamP compares with delta (for matrices; a vector's `channel` says nothing).
    """

    matrices_only: ClassVar = False

    def observe(self, step: Step) -> Values:
        pairs = list(zip(step.before, step.gradients, strict=True))
        channel = torch.stack([radial_cosine(w, g, "channel") for w, g in pairs])
        whole = torch.stack([radial_cosine(w, g, "layer") for w, g in pairs])
        lengths = whole.new_tensor([w.numel() for w in step.before]).sqrt()
        return {"cosine": whole / lengths, "channel": channel, "whole": whole}


class Tested(Probe):
    """A probe with AdamP's test."""

    def __init__(self, delta: float = 0.1, **options: Any) -> None:
        """delta: the test's threshold, relative to 1 / sqrt(d)."""
        super().__init__(**options)
        self.delta = delta


class Projection(Tested):
    """Which tensors AdamP and SGDP project (the authors' code: by filter, else whole), whatever the optimizer is.

    `projected` is 1 for a tensor whose step would be projected; `tensors` and `entries` are the shares of the
    tensors, and of their entries, for which it is.
    """

    def observe(self, step: Step) -> Values:
        pairs = list(zip(step.before, step.gradients, strict=True))
        lowest = [torch.minimum(*(radial_cosine(w, g, kind) for kind in ("channel", "layer"))) for w, g in pairs]
        found = (torch.stack(lowest) < self.delta).double()
        sizes = torch.tensor([w.numel() for w in step.before], dtype=torch.double, device=found.device)
        return {"projected": found, "tensors": found.mean(), "entries": (found * sizes).sum() / sizes.sum()}


NAMES = ("radius", "radial", "size", "angle", "rate", "table_rate", "gradient_step")


class Spherical(Tested):
    """What a step does on the spheres of the scale-invariant filters (AdamSRT, Eq. 11 to 13 and Figures 3 to 5).

    A tensor counts if its param group calls it invariant or, where no group says so of any tensor, if AdamP's test
    finds it invariant by filter at that step; the entries of the others are null. Means over a tensor's filters:
    `radius`, `angle` (radians), `rate` (`effective_rate`), `table_rate`. Largest over
    them: `radial` (|A <c, u>|, Figure 3), `size` (eta^e ||c_perp||, Figure 4), `gradient_step` ((lr ||grad L(x)||)^2,
    Figure 5 for plain SGD). The scalars are the same over all tensors.
    """

    def observe(self, step: Step) -> Values:
        declared = any(watched.invariance != "none" for watched in step.tensors)
        columns = torch.stack([self.row(step, place, declared) for place in range(len(step.tensors))]).T
        per_layer = dict(zip(NAMES, columns, strict=True))
        means = {f"mean_{name}": torch.nanmean(per_layer[name]) for name in ("radius", "angle", "rate", "table_rate")}
        largest = {
            name: per_layer[name].nan_to_num(nan=-torch.inf).amax() for name in ("radial", "size", "gradient_step")
        }
        return per_layer | means | {f"max_{name}": value for name, value in largest.items()}

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
        found = radial_cosine(weight, gradient, "channel") < self.delta
        counts = torch.full_like(found, watched.invariance != "none") if declared else found
        return torch.where(counts, torch.stack(values), torch.nan)


class Sphere(NamedTuple):
    """One step of [O] filters of d entries each.

    radius: r_k, [O]. direction: u_k, [O, d]. radial: A <c, u>, [O], the share of r that the step takes off along
    u. tangent: A c_perp, [O, d].
    """

    radius: Tensor
    direction: Tensor
    radial: Tensor
    tangent: Tensor

    @property
    def size(self) -> Tensor:
        """eta^e ||c_perp||, the tangent of the angle turned (Figure 4 of AdamSRT), [O]."""
        return torch.div(self.tangent.norm(dim=1), 1 - self.radial)

    @property
    def angle(self) -> Tensor:
        """The angle between u_k and u_{k+1}, in radians, also where the step passes the origin, [O]."""
        return torch.atan2(self.tangent.norm(dim=1), 1 - self.radial)


def filters(tensor: Tensor, kind: str = "channel") -> Tensor:
    """Return the tensor as [O, d]: one row per slice of dim 0, or one row in all for kind "layer"."""
    return tensor.reshape(1 if kind == "layer" else tensor.shape[0], -1)


def sphere(before: Tensor, after: Tensor) -> Sphere:
    """Return the step from `before` to `after`, both [O, d]. A filter of zeros gives nan."""
    radius = before.norm(dim=1)
    direction = before / radius[:, None]
    step = (before - after) / radius[:, None]
    radial = (step * direction).sum(1)
    return Sphere(radius, direction, radial, step - radial[:, None] * direction)


def effective_rate(step: Sphere, gradients: Tensor) -> Tensor:
    """Return eta^e measured against the loss gradient on the sphere, ||eta^e c_perp|| / ||grad L(u)||, [O].

    grad L(u) = r grad L(x) (Lemma 1; its tangential part is taken). For SGD, with L2 or without, that is Table 1's
    eta / (r^2 (1 - eta lambda)); for the others the rate that plain descent would need for an equal turn.
    """
    radial = (gradients * step.direction).sum(1, keepdim=True)
    return torch.div(step.size, step.radius * (gradients - radial * step.direction).norm(dim=1))


def division(watched: Watched, kind: str) -> Tensor | None:
    """Return d^-1/2 ||b|| of each filter after a step (Eq. 5 and 9), [O] or []; None where the state tells no b.

    SGD, with momentum or without: 1. Adam and its relatives, known by a buffer called `exp_avg_sq`, v:
    b = (1 - beta1^t) / (1 - beta1) * (sqrt(v / (1 - beta2^t)) + eps), so that b divides the plain sum
    a_k = sum_i beta1^(k-i) g_i. Approximate where the step divides by something else than this v: SING's softplus,
    AMSGrad's maximum, Adam-SRT's v, which is read after its transport.
    """
    second = watched.buffer("exp_avg_sq")
    if second is None:
        kept = {key.rpartition(".")[2] for key in watched.optimizer.state.get(watched.parameter, {})}
        return watched.parameter.new_ones(()) if kept <= {"step", "buffer", "momentum_buffer"} else None
    beta1, beta2 = watched.group["betas"]
    t = float(watched.buffer("step"))
    b = (second / (1 - beta2**t)).sqrt() + watched.group.get("eps", 0.0)
    rows = filters(b.expand_as(watched.parameter), kind) * (1 - beta1**t) / (1 - beta1)
    return torch.div(rows.norm(dim=1), rows.shape[1] ** 0.5)


def table_rate(step: Sphere, lr: float, division: Tensor | None) -> Tensor:
    """Return eta^e = eta / (r nu) * (1 - A <c, u>)^-1 with nu = r d^-1/2 ||b|| (Table 1), [O]; nan without a b."""
    if division is None:
        return torch.full_like(step.radius, torch.nan)
    return lr / (step.radius**2 * division * (1 - step.radial))
