"""RMSGD (Hosseini, Tuli, Plataniotis: Exploiting Explainable Metrics for Augmented SGD, CVPR 2022)."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from optim.chain import Chain, Options
from optim.stages.moments import momentum as heavy_ball
from optim.stages.rank import rank_rates


class RMSGD(Chain):
    """RMSGD (Algorithm 1): SGD whose rate of each tensor is eta <- beta eta + zeta (s_t - s_(t-1)) after epoch t.

    s: stable rank with power `p` of EVBMF's structure. Call `epoch_end()` at the end of each training epoch. Defaults
    are the paper's, in the variant that made its tables ("paper_branch"); "text" and "package": see
    `optim.stages.rank.rank_rates`, as for `linear`, `evbmf_scale`, `step_size` and `gamma`. Decay is coupled (L2).
    """

    decay: ClassVar[str] = "coupled"

    def __init__(
        self,
        params: Any,
        lr: float = 0.03,
        momentum: float = 0.9,
        beta: float = 0.98,
        zeta: float = 1.0,
        weight_decay: float = 0.0,
        variant: str = "paper_branch",
        p: int = 1,
        linear: bool = False,
        evbmf_scale: str = "official",
        step_size: int = 0,
        gamma: float = 1.0,
        **options: Unpack[Options],
    ) -> None:
        rates = rank_rates(variant, beta, zeta, p, linear, evbmf_scale, step_size, gamma)
        super().__init__(params, (rates, heavy_ball(momentum)), lr=lr, weight_decay=weight_decay, **options)
