"""LookAhead (Zhang et al. 2019, arXiv 1907.08610) as an optimizer; over any other chain it is a stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Unpack

from optim.chain import Chain, Options
from optim.stages import adam, lookahead, momentum
from optim.stages.base import BETAS, Stage, check

BASES: dict[str, Callable[[tuple[float, float]], Stage]] = {
    "sgd": lambda betas: momentum(betas[0]),
    "adam": lambda betas: adam(betas),
}


class LookAhead(Chain):
    """LookAhead (Algorithm 1): every k steps of the base w <- slow + alpha (w - slow), slow <- w.

    k and alpha as in the authors' code. Over SGD, betas[0] is the momentum. Decay is coupled.
    """

    decay: ClassVar[str] = "coupled"

    def __init__(
        self,
        params: Any,
        lr: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        base: str = "sgd",
        k: int = 5,
        alpha: float = 0.8,
        **options: Unpack[Options],
    ) -> None:
        check("base", base, tuple(BASES))
        check("betas", betas, BETAS)
        super().__init__(params, (BASES[base](betas), lookahead(k, alpha)), lr=lr, weight_decay=weight_decay, **options)
