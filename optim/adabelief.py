"""AdaBelief (Zhuang et al. 2020, arXiv 2010.07468)."""

from __future__ import annotations

from typing import Any, Unpack

from optim.chain import Chain, Options
from optim.stages import adabelief


class AdaBelief(Chain):
    """AdaBelief (Algorithm 2): w <- w - lr mhat / (sqrt(shat) + eps) with s <- b2 s + (1 - b2) (g - m)^2 + eps.

    eps is of the size of Adam's squared. `rectify=True` is the authors' package since 0.2; in their experiments it was
    off. Their CIFAR runs: eps 1e-8, weight_decay 5e-4 with `decay="coupled"`; ImageNet: weight_decay 1e-2, decoupled.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0.0,
        rectify: bool = False,
        **options: Unpack[Options],
    ) -> None:
        stages = (adabelief(betas, eps, rectify=rectify),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)
