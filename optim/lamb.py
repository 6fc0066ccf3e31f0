"""LAMB (You et al. 2020, arXiv 1904.00962)."""

from __future__ import annotations

from typing import Any, Unpack

from optim.chain import Chain, Options
from optim.stages import adam, trust_ratio


class LAMB(Chain):
    """LAMB (Algorithm 2): r = mhat / (sqrt(vhat) + eps), u = r + weight_decay w, w <- w - lr phi(||w||) / ||u|| u.

    phi(z) = min(z, max_norm). `debias=False` leaves the bias correction out, as the paper's third version.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        max_norm: float = 10.0,
        debias: bool = True,
        **options: Unpack[Options],
    ) -> None:
        stages = (adam(betas, eps, debias=debias), trust_ratio(max_norm))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)
