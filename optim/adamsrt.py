"""Adam-S, Adam-SRT and SGD-MRT (Roburin, de Mont-Marin, Bursuc, Marlet, Perez, Aubry: Spherical Perspective on
Learning with Normalization Layers, Neurocomputing 2022).

Each reads the param group's `invariance` (see `optim.param_groups`); "none" is Adam, or SGD. Decay is coupled (L2).
"""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from optim.chain import Chain, Options
from optim.stages.moments import momentum as heavy_ball
from optim.stages.sphere import group_adam, transported


class AdamS(Chain):
    """Adam-S (Sec. 4.1): v <- b2 v + (1 - b2) ||g||^2 / d per group, x <- x - lr mhat / (sqrt(vhat) + eps)."""

    decay: ClassVar[str] = "coupled"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, (group_adam(betas, eps),), lr=lr, weight_decay=weight_decay, **options)


class AdamSRT(Chain):
    """Adam-SRT (Algorithm 1): Adam-S, then m <- (<x', x> m - <x', m> x) / <x', x'> and v <- v <x, x> / <x', x'>."""

    decay: ClassVar[str] = "coupled"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stage = transported(group_adam(betas, eps), "exp_avg", "exp_avg_sq")
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)


class SGDMRT(Chain):
    """SGD-MRT (Appendix E): b <- mu b + (1 - dampening) g from b = 0, x' = x - lr b, then b is carried as m is."""

    decay: ClassVar[str] = "coupled"

    def __init__(
        self,
        params: Any,
        lr: float = 0.1,
        momentum: float = 0.9,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stage = transported(heavy_ball(momentum, dampening, first="zero"), "buffer")
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)
