"""Adafactor (Shazeer and Stern 2018, arXiv 1804.04235) with its rate as given."""

from __future__ import annotations

from typing import Any, Unpack

import torch

from optim.chain import Chain, Options
from optim.stages import adafactor

EPS = torch.finfo(torch.float32).eps


class Adafactor(Chain):
    """Adafactor (Algorithms 4 and 5) without its own step size: w <- w - lr U / max(1, RMS(U) / d), U = g / sqrt(Vhat).

    torch's takes min(lr, 1 / sqrt(t)) max(1e-3, RMS(w)) in the place of lr, and cannot do otherwise; SING's paper
    trained with that switched off (Appendix C.1). No momentum; decay is decoupled.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps1: float = EPS,
        d: float = 1.0,
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stages = (adafactor(beta2_decay, eps1, d=d, scaled=False),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)
