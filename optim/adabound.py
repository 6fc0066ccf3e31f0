"""AdaBound (Luo et al. 2019, arXiv 1902.09843)."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from optim.chain import Chain, Options
from optim.stages import adabound


class AdaBound(Chain):
    """AdaBound (Algorithm 2): w <- w - clip(lr sqrt(1 - b2^t) / (1 - b1^t) / (sqrt(v) + eps), lo_t, hi_t) m.

    lo_t and hi_t close on `final_lr` at the pace `gamma` and follow the schedule of lr. So the authors' code; the
    printed algorithm has 1 / sqrt(t) and neither bias correction nor eps. Decay is coupled.
    """

    decay: ClassVar[str] = "coupled"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stages = (adabound(betas, eps, final_lr, gamma),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)
