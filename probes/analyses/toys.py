"""Optimizers run on a loss of one small tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import optim

SGD, ADAM, ADAMW = "torch.optim.SGD", "torch.optim.Adam", "torch.optim.AdamW"


@dataclass(frozen=True)
class Method:
    """An optimizer by its dotted class and keywords. flat: takes the weight as a vector, not as one row."""

    label: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    flat: bool = False


def descend(
    loss: Callable[[Tensor], Tensor], start: Tensor, method: Method, steps: int, linear: bool = False
) -> Tensor:
    """Return the path [steps + 1, d] from `start` [d], in float64; linear: the rate falls linearly to 0.

    Methods that look at rows see one row [1, d], called invariant by channel.
    """
    weight = nn.Parameter(start.double().clone() if method.flat else start.double()[None].clone())
    group = {"params": [weight]} | ({} if method.target.startswith("torch.") else {"invariance": "channel"})
    optimizer = optim.build(method.target, [group], **method.options)
    first, path = float(optimizer.param_groups[0]["lr"]), [start.double()]

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(weight.flatten())
        value.backward()
        return value.detach()

    for step in range(steps):
        if linear:
            optimizer.param_groups[0]["lr"] = first * (1 - step / steps)
        optimizer.step(closure)
        path.append(weight.detach().flatten().clone())
    return torch.stack(path)


def cosine_loss(w: Tensor) -> Tensor:
    """-cos(w, w*) with w* = (0, -1) (AdamP, Eq. B.1; the paper's text lost the minus sign), over the last dim."""
    return w[..., 1] / w.norm(dim=-1)


ANGLE_SCALE = 1.5  # AdamP, Appendix B


def angles(w: Tensor) -> tuple[Tensor, Tensor]:
    """The scaled angles (c psi, c phi) of [..., 3] points: psi = atan2(x, z), phi = asin(y / r).

    The paper prints psi = arccos(x / z), which cannot give its own starting point.
    """
    x, y, z = w.unbind(-1)
    return ANGLE_SCALE * torch.atan2(x, z), ANGLE_SCALE * torch.asin(y / w.norm(dim=-1))


def rosenbrock(psi: Tensor, phi: Tensor) -> Tensor:
    """(1 - psi)^2 + 300 (phi - psi^2)^2 (AdamP, Section 3.2)."""
    return (1 - psi) ** 2 + 300 * (phi - psi**2) ** 2


def rosenbrock_start() -> Tensor:
    """The point of the unit sphere with scaled angles (-2, 2)."""
    psi, phi = -2 / ANGLE_SCALE, 2 / ANGLE_SCALE
    return torch.tensor([math.cos(phi) * math.sin(psi), math.sin(phi), math.cos(phi) * math.cos(psi)])
