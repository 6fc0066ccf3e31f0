"""AdamP and SGDP (Heo et al. 2021, arXiv 2006.08217)."""

from __future__ import annotations

from typing import Any, Unpack

from optim.chain import Chain, Options
from optim.stages import adam, radial_projection
from optim.stages import momentum as heavy_ball


class AdamP(Chain):
    """AdamP (Algorithm 2, Eq. 11 and 12): Adam's p = mhat / D; w <- w - lr Pi_w(p) where |cos(w, g)| is small.

    With the authors' bias correction, which Algorithm 2 leaves out, their test by channel and then by layer
    (Appendix E.1), and their `wd_ratio`. `weight_decay` is scaled by lr as AdamW's: the paper's 1e-4 is 0.1 here at
    lr 1e-3, or `decay="absolute"`.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        delta: float = 0.1,
        wd_ratio: float = 0.1,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        stages = (adam(betas, eps, nesterov), radial_projection(delta, wd_ratio, eps))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class SGDP(Chain):
    """SGDP (Algorithm 1): b <- mu b + (1 - dampening) g from b_0 = 0, w <- w - lr Pi_w(b) where |cos(w, g)| is small.

    The buffer stays unprojected, as printed; the authors' code projects it in place. Decay is decoupled:
    w <- w (1 - lr weight_decay / (1 - momentum)), times `wd_ratio` where projected (their code).
    """

    def __init__(
        self,
        params: Any,
        lr: float = 0.1,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        eps: float = 1e-8,
        delta: float = 0.1,
        wd_ratio: float = 0.1,
        **options: Unpack[Options],
    ) -> None:
        stages = (
            heavy_ball(momentum, dampening, nesterov, first="zero"),
            radial_projection(delta, wd_ratio, eps, momentum_decay=True),
        )
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)
