"""Yogi (Zaheer et al. 2018, Adaptive Methods for Nonconvex Optimization)."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from optim.chain import Chain, Options
from optim.stages import yogi


class Yogi(Chain):
    """Yogi (Algorithm 2): v <- v - (1 - b2) sign(v - g^2) g^2, w <- w - lr mhat / (sqrt(vhat) + eps).

    m_0 = 0 as printed, v_0 = `initial_accumulator` (the paper takes a first batch's g^2). Decay is coupled.
    """

    decay: ClassVar[str] = "coupled"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-3,
        initial_accumulator: float = 1e-6,
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, (yogi(betas, eps, initial_accumulator),), lr=lr, weight_decay=weight_decay, **options)
