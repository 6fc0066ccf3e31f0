"""Stages for scale-invariant tensors: Adam's v of a whole group of entries, and momentum carried along with the weight.

What the groups are is said by the param group's `invariance`: "channel" (each row of dim 0), "layer" (the tensor) or
"none" (each entry by itself), as it always is for a tensor of fewer than 2 dims. d is the number of entries of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from optim.stages.base import Bucket, Ranges, Stage
from optim.stages.moments import adam

INVARIANCE = ("none", "channel", "layer")


def inner(x: Tensor, y: Tensor, kind: str) -> Tensor:
    """Return <x, y> over each group: [O, 1, ..] for "channel", [1, 1, ..] for "layer", x * y for "none"."""
    product = x * y
    if kind == "none" or x.ndim < 2:
        return product
    return product.sum(tuple(range(1 if kind == "channel" else 0, x.ndim)), keepdim=True)


class group_adam(adam):
    """Adam-S (Roburin et al. 2022, Sec. 4.1): Adam with v <- b2 v + (1 - b2) ||g||^2 / d, one number a group.

    So the direction is that of m. The authors' code holds the sum and multiplies the rate by sqrt(d): the same, but
    for its eps, which is ours divided by sqrt(d). Groups of one entry give Adam.
    """

    ranges: ClassVar[Ranges] = {**adam.ranges, "invariance": INVARIANCE}

    def __init__(self, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        super().__init__(betas, eps)
        self.hyper |= {"invariance": "none"}

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        v = inner(param, param, options["invariance"])
        return {"exp_avg": torch.zeros_like(param), "exp_avg_sq": torch.zeros_like(v)}

    def second(self, bucket: Bucket, m: list[Tensor], v: list[Tensor], g: list[Tensor]) -> None:
        kind, news = bucket.options["invariance"], bucket.scalar(self, "new2")
        torch._foreach_mul_(v, bucket.scalar(self, "beta2"))
        for average, gradient, new in zip(v, g, news, strict=True):
            average.add_(inner(gradient, gradient, kind) * (new * average.numel() / gradient.numel()))


class transported(Stage):
    """Rescaling and transport of momentum (Roburin et al. 2022, Eq. 18 and 75) around a stage that owns the momentum.

    After a step from x to x': m <- (<x', x> m - <x', m> x) / <x', x'>, so that m is tangent to the sphere at x' and
    shrinks as the gradient does, by ||x|| / ||x'||; and v <- v <x, x> / <x', x'>. Per group; groups of single
    entries are left as they are: the plain method. (Line 10 of the paper's Algorithm 1 has a stray m.)
    """

    needs_before = True

    def __init__(self, stage: Stage, first: str, second: str | None = None) -> None:
        super().__init__(**{"invariance": "none"} | stage.hyper)
        self.stage, self.first, self.second = stage, first, second
        self.name = stage.name
        self.ranges = {**stage.ranges, "invariance": INVARIANCE}  # type: ignore[misc]
        self.init, self.scalars, self.update = stage.init, stage.scalars, stage.update  # type: ignore[method-assign]

    def after_step(self, bucket: Bucket, before: list[Tensor]) -> list[Tensor] | None:
        kind = bucket.options["invariance"]
        if kind == "none":
            return None
        (moments,) = bucket.buffers(self, self.first)
        for m, x, new in zip(moments, before, bucket.params, strict=True):
            if m.ndim > 1:
                turned = inner(new, x, kind) * m - inner(new, m, kind) * x
                m.copy_(settled(_over(turned, inner(new, new, kind))))
        if self.second is not None:
            (squares,) = bucket.buffers(self, self.second)
            for v, x, new in zip(squares, before, bucket.params, strict=True):
                if x.ndim > 1:
                    v.mul_(_over(inner(x, x, kind), inner(new, new, kind)))
        return None


def settled(x: Tensor) -> Tensor:
    """x, by way of a concatenation where it is compiled.

    A result that reads both weight and buffer, and goes into one while the other changes too, breaks inductor's
    fusion of outer loops on the CPU (KeyError in torch 2.15); this keeps it out of that fusion.
    """
    return torch.stack((x, x))[0] if torch.compiler.is_compiling() else x


def _over(x: Tensor, square: Tensor) -> Tensor:
    """x / square, and 0 where a group of weights has come to be 0."""
    return torch.where(square == 0, 0.0, x / square)
