"""A step seen on the unit sphere (AdamSRT, Section 2.3), from the weights before and after it alone.

For one filter x of norm r and direction u, any optimizer's step D = x_k - x_{k+1} is A c r, in the paper's letters:
A = eta / (r^2 d^-1/2 ||b||), c = r a / (b / (d^-1/2 ||b||)). Nothing here needs to know a and b.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


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
    def effective(self) -> Tensor:
        """eta^e c_perp = A c_perp / (1 - A <c, u>) (Eq. 11): rate and direction in one, [O, d]."""
        return self.tangent / (1 - self.radial)[:, None]

    @property
    def size(self) -> Tensor:
        """eta^e ||c_perp||, the tangent of the angle turned (Figure 4 of AdamSRT), [O]."""
        return self.tangent.norm(dim=1) / (1 - self.radial)

    @property
    def angle(self) -> Tensor:
        """The angle between u_k and u_{k+1}, in radians, also where the step passes the origin, [O]."""
        return torch.atan2(self.tangent.norm(dim=1), 1 - self.radial)

    @property
    def next_direction(self) -> Tensor:
        """u_{k+1} by Eq. 12 (for A <c, u> < 1), [O, d]."""
        return (self.direction - self.effective) / (1 + self.size**2).sqrt()[:, None]

    @property
    def radius_ratio(self) -> Tensor:
        """r_{k+1} / r_k by Eq. 13 (for A <c, u> < 1), [O]."""
        return (1 - self.radial) * (1 + self.size**2).sqrt()


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
    return step.size / (step.radius * (gradients - radial * step.direction).norm(dim=1))


def cosines(weights: Tensor, gradients: Tensor) -> Tensor:
    """Return |cos(w, g)| of each row of [O, d] tensors, [O]; 0 where either is zero (AdamP, Eq. 11)."""
    lengths = weights.norm(dim=1) * gradients.norm(dim=1)
    return (weights * gradients).sum(1).abs() / lengths.clamp_min(torch.finfo(weights.dtype).tiny)
