"""Adan (Xie et al. 2022). Raises ValueError, one line, for a value out of range."""

from collections.abc import Mapping
from typing import Annotated, Any, Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages.base import Bucket, Numbers, Stage, Step
from .stages.keywords import Eps, In, Rate, WeightDecay
from .stages.lists import add_product_, add_scalar_, blend_, copy_, either, root
from .stages.plugins import decay_rate

ThreeBetas = Annotated[
    tuple[float, float, float],
    In("[0, 1) and [0, 1) and [0, 1)"),
    "of m, v and n; each is one minus the paper's, as in the authors' code",
]


class Adan(Chain):
    """Adan: w <- (w - lr (mhat + b2 vhat) / (sqrt(nhat) + eps)) / (1 + lr weight_decay).

    With d_t = g_t - g_(t-1), d_1 = 0: m and v are running means of g and d, n is that of (g + b2 d)^2, each with its
    bias correction (the authors' code; Algorithm 1 has none). Decay is proximal, hence the division.

    References: Xie et al. 2022 (arXiv 2208.06677), Algorithm 1, and the authors' code. Without their global clipping.

        >>> optimizer = Adan(model.parameters(), lr=1e-3, weight_decay=0.02)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-3,
        betas: ThreeBetas = (0.98, 0.92, 0.99),
        eps: Eps = 1e-8,
        weight_decay: WeightDecay = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, (adan(betas, eps),), lr=lr, weight_decay=weight_decay, **options)


class adan(Stage):
    """The update of `Adan`, and its proximal decay."""

    name = "adan"
    zeros = ("exp_avg", "exp_avg_diff", "exp_avg_sq", "previous")

    def __init__(self, betas: ThreeBetas = (0.98, 0.92, 0.99), eps: Eps = 1e-8) -> None:
        super().__init__(betas=betas, eps=eps)

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        beta1, beta2, beta3 = (float(beta) for beta in hyper["betas"])
        news = {"new1": 1 - beta1, "new2": 1 - beta2, "new3": 1 - beta3, "beta2": beta2, "beta3": beta3}
        gains = {"mean": 1 / (1 - beta1**step), "diff": beta2 / (1 - beta2**step)}
        below = {"root": 1 / root(1 - beta3**step), "eps": float(hyper["eps"])}
        rate = {"shrink": 1 / (1 + hyper["lr"] * decay_rate(hyper)), "later": either(step > 1, 1.0, 0.0)}
        return news | gains | below | rate

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        m, v, n, previous = bucket.buffers(self, *self.zeros)
        differences = list(torch._foreach_sub(updates, previous))
        torch._foreach_mul_(differences, bucket.scalar(self, "later"))
        blend_(m, updates, bucket.scalar(self, "new1"))
        blend_(v, differences, bucket.scalar(self, "new2"))
        torch._foreach_mul_(differences, bucket.scalar(self, "beta2"))
        torch._foreach_add_(differences, updates)
        torch._foreach_mul_(n, bucket.scalar(self, "beta3"))
        add_product_(n, differences, differences, bucket.scalar(self, "new3"))
        copy_(previous, updates)
        bucket.decay_scale = [0.0] * len(updates)  # done by `retract`
        tops = list(torch._foreach_mul(m, bucket.scalar(self, "mean")))
        torch._foreach_add_(tops, torch._foreach_mul(v, bucket.scalar(self, "diff")))
        roots = list(torch._foreach_sqrt(n))
        torch._foreach_mul_(roots, bucket.scalar(self, "root"))
        add_scalar_(roots, bucket.scalar(self, "eps"))
        torch._foreach_div_(tops, roots)
        return tops

    def retract(self, bucket: Bucket, steps: list[Tensor]) -> list[Tensor] | None:
        moved = list(torch._foreach_sub(bucket.params, steps))
        torch._foreach_mul_(moved, bucket.scalar(self, "shrink"))
        return moved
