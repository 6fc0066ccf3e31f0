"""MARS (Yuan et al. 2024). Raises ValueError, one line, for a value out of range."""

from collections.abc import Mapping
from typing import Annotated, Any, Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages.base import Bucket, Numbers, Scalar, Stage, Step
from .stages.keywords import Betas, Eps, NotNegative, Rate, WeightDecay
from .stages.lists import at_once, copy_, norms, once, products
from .stages.moments import adam


class MARS(Chain):
    """MARS-AdamW: AdamW over c = g_t + gamma b1 / (1 - b1) (g_t - g_(t-1)), each tensor's clipped to norm 1; g_0 = 0.

    The approximate form, with last step's gradient as it was (MARS-approx), which the authors' code has by default.
    Vectors and scalars get AdamW, unless `optimize_1d`.

    References: Yuan et al. 2024 (arXiv 2411.10438), Algorithm 2, and the authors' code. (Theirs has another rate,
    betas and decay for vectors: use a param group.)

        >>> optimizer = MARS(model.parameters(), lr=3e-3)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 3e-3,
        betas: Betas = (0.95, 0.99),
        eps: Eps = 1e-8,
        weight_decay: WeightDecay = 0.0,
        gamma: Annotated[NotNegative, "scale of the correction"] = 0.025,
        optimize_1d: Annotated[bool, "correct the gradients of vectors and scalars too"] = False,
        **options: Unpack[Options],
    ) -> None:
        stages = (mars(gamma, betas, optimize_1d), adam(betas, eps))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class mars(Stage):
    """The corrected gradient of `MARS`, before any stages; beta_1 is that of the momentum that follows."""

    name = "mars"
    zeros = ("previous",)

    def __init__(self, gamma: NotNegative = 0.025, betas: Betas = (0.9, 0.999), optimize_1d: bool = False) -> None:
        super().__init__(gamma=gamma, betas=betas)
        self.optimize_1d = optimize_1d

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        beta1 = float(hyper["betas"][0])
        return {"gain": float(hyper["gamma"]) * beta1 / (1 - beta1)}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        (previous,) = bucket.buffers(self, "previous")
        places = [i for i, g in enumerate(updates) if g.ndim > 1 or self.optimize_1d]
        found = [*updates]
        if places:
            lists = [[xs[i] for i in places] for xs in (updates, previous, bucket.scalar(self, "gain"))]
            for i, corrected in zip(places, _corrected(*lists), strict=True):
                found[i] = corrected
        copy_(previous, updates)
        return found


def _corrected(grads: list[Tensor], previous: list[Tensor], gains: list[Scalar]) -> list[Tensor]:
    """c = g + gain (g - previous), divided by its norm where that is above 1."""
    found = products(list(torch._foreach_sub(grads, previous)), gains)
    torch._foreach_add_(found, grads)
    return list(torch._foreach_div(found, at_once(lambda length: once(length.clamp(min=1.0)), norms(found))))
