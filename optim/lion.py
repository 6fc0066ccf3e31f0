"""Lion, and cautious masks over any optimizer. Each raises ValueError, one line, for a value out of range."""

from collections.abc import Mapping
from typing import Annotated, Any, Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages import by_name
from .stages.base import Bucket, Numbers, Stage, Step
from .stages.by_name import Base
from .stages.keywords import Betas, Eps, Rate, WeightDecay
from .stages.lists import blend_, blended, multiply_


class Lion(Chain):
    """Lion: w <- w - lr sign(b1 m + (1 - b1) g), then m <- b2 m + (1 - b2) g.

    Its rate is 3 to 10 times smaller than AdamW's, its decay as much larger.

    References: Chen et al. 2023 (arXiv 2302.06675), Algorithm 2.

        >>> optimizer = Lion(model.parameters(), lr=1e-4, weight_decay=0.1)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-4,
        betas: Annotated[Betas, "beta_1 of the update and beta_2 of m"] = (0.9, 0.99),
        weight_decay: WeightDecay = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, (lion(betas),), lr=lr, weight_decay=weight_decay, **options)


class Cautious(Chain):
    """Cautious optimizer: of the base's update u only the entries with u g > 0, times n / (their number + 1).

    n is the number of entries of the tensor, g the raw gradient. Over AdamW it is C-AdamW, over Lion C-Lion.

    References: Liang et al. 2024 (arXiv 2411.16085), Algorithm 2. (Their code divides by the mean of the mask, at
    least 1e-3, in the place of (number + 1) / n.)

        >>> optimizer = Cautious(model.parameters(), lr=1e-3, base="adam")
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-3,
        betas: Annotated[Betas, "of the base"] = (0.9, 0.999),
        weight_decay: WeightDecay = 0.0,
        base: Base = "adam",
        eps: Annotated[Eps, "of the base"] = 1e-8,
        **options: Unpack[Options],
    ) -> None:
        self.check_keywords(betas=betas, eps=eps)
        stages = [*by_name.stages(base, "base", betas=betas, eps=eps), cautious()]
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class lion(Stage):
    """The update of `Lion`."""

    name = "lion"
    zeros = ("exp_avg",)

    def __init__(self, betas: Betas = (0.9, 0.99)) -> None:
        super().__init__(betas=betas)

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        beta1, beta2 = (float(beta) for beta in hyper["betas"])
        return {"new1": 1 - beta1, "new2": 1 - beta2}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        (average,) = bucket.buffers(self, "exp_avg")
        mixed = blended(average, updates, bucket.scalar(self, "new1"))
        blend_(average, updates, bucket.scalar(self, "new2"))
        return signs_(mixed)


class cautious(Stage):
    """The mask of `Cautious`, after any stages."""

    name = "cautious"

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        agree = list(torch._foreach_mul(updates, bucket.grads))
        torch._foreach_sign_(agree)
        torch._foreach_clamp_min_(agree, 0.0)  # 1 where u g > 0, else 0
        shares = list(torch._foreach_add([mask.sum() for mask in agree], 1.0))
        torch._foreach_reciprocal_(shares)
        torch._foreach_mul_(shares, [float(u.numel()) for u in updates])
        torch._foreach_mul_(agree, updates)
        multiply_(agree, shares)
        return agree


def signs_(xs: list[Tensor]) -> list[Tensor]:
    """The sign of each entry, xs being spent; nan for nan, which torch takes for 0: that would hide a divergence."""
    found = list(torch._foreach_clamp_max(xs, -1.0))  # nan where x is, and else at most its sign
    torch._foreach_sign_(xs)
    torch._foreach_maximum_(found, xs)
    return found
