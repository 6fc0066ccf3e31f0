"""Lion, and cautious masks over any optimizer. Each raises ValueError, one line, for a value out of range."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages import by_name
from .stages.base import BETAS, Betas, Bucket, Ranges, Stage, check
from .stages.by_name import Entry
from .stages.lists import blend_


class Lion(Chain):
    """Lion: w <- w - lr sign(b1 m + (1 - b1) g), then m <- b2 m + (1 - b2) g.

    Its rate is 3 to 10 times smaller than AdamW's, its decay as much larger.

    Args:
        lr: eta, in [0, inf).
        betas: beta_1 of the update and beta_2 of m, in [0, 1).
        weight_decay: decoupled coefficient lambda, in [0, inf).

    References: Chen et al. 2023 (arXiv 2302.06675), Algorithm 2.

        >>> optimizer = Lion(model.parameters(), lr=1e-4, weight_decay=0.1)
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-4,
        betas: Betas = (0.9, 0.99),
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, (lion(betas),), lr=lr, weight_decay=weight_decay, **options)


class Cautious(Chain):
    """Cautious optimizer: of the base's update u only the entries with u g > 0, times n / (their number + 1).

    n is the number of entries of the tensor, g the raw gradient. Over AdamW it is C-AdamW, over Lion C-Lion.

    Args:
        lr: of the base, in [0, inf).
        betas: of the base, in [0, 1).
        weight_decay: decoupled coefficient, in [0, inf).
        base: a stage by its name, or several, with these betas and eps unless its own entry says otherwise.
        eps: of the base, in [0, inf).

    References: Liang et al. 2024 (arXiv 2411.16085), Algorithm 2. (Their code divides by the mean of the mask, at
    least 1e-3, in the place of (number + 1) / n.)

        >>> optimizer = Cautious(model.parameters(), lr=1e-3, base="adam")
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        weight_decay: float = 0.0,
        base: Entry | Sequence[Entry] = "adam",
        eps: float = 1e-8,
        **options: Unpack[Options],
    ) -> None:
        check("betas", betas, BETAS)
        check("eps", eps, "[0, inf)")
        stages = [*by_name.stages(base, "base", betas=betas, eps=eps), cautious()]
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class lion(Stage):
    """The update of `Lion`."""

    name = "lion"
    ranges: ClassVar[Ranges] = {"betas": BETAS}
    zeros = ("exp_avg",)

    def __init__(self, betas: Betas = (0.9, 0.99)) -> None:
        super().__init__(betas=betas)

    def scalars(self, hyper: Mapping[str, Any], step: int) -> dict[str, float]:
        beta1, beta2 = (float(beta) for beta in hyper["betas"])
        return {"new1": 1 - beta1, "new2": 1 - beta2}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        (average,) = bucket.buffers(self, "exp_avg")
        mixed = [m.clone() for m in average]
        blend_(mixed, updates, bucket.scalar(self, "new1"))
        blend_(average, updates, bucket.scalar(self, "new2"))
        return signs(mixed)


class cautious(Stage):
    """The mask of `Cautious`, after any stages."""

    name = "cautious"

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        return [_masked(u, g) for u, g in zip(updates, bucket.grads, strict=True)]


def _masked(u: Tensor, g: Tensor) -> Tensor:
    agrees = (u * g > 0).to(u.dtype)
    return u * agrees * (u.numel() / (agrees.sum() + 1))


def signs(xs: list[Tensor]) -> list[Tensor]:
    """The sign of each entry; nan for nan, whose sign torch takes for 0, which would hide a divergence."""
    return [torch.where(x.isnan(), x, x.sign()) for x in xs]
