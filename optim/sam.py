"""SAM and ASAM over SGD; over any other chain they are its `evaluation` (`AdamP(..., evaluation=ascent(0.05))`)."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from optim.chain import Chain, Options
from optim.stages.ascent import ascent as climbing
from optim.stages.moments import momentum as heavy_ball


class SAM(Chain):
    """SAM (Foret et al. 2021, Algorithm 1): SGD with the gradient at w + rho g / ||g||; needs a closure.

    `adaptive=True` is ASAM (Kwon et al. 2021), for which rho = 2.0 is usual. Decay is coupled (L2), and not part of
    the ascent. See `optim.stages.ascent` for `ascent` and `batch_norm_statistics`.
    """

    decay: ClassVar[str] = "coupled"

    def __init__(
        self,
        params: Any,
        lr: float = 0.1,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        rho: float = 0.05,
        adaptive: bool = False,
        ascent: str = "global",
        batch_norm_statistics: str = "first",
        **options: Unpack[Options],
    ) -> None:
        options.setdefault("evaluation", climbing(rho, adaptive, ascent, batch_norm_statistics))
        stages = (heavy_ball(momentum, nesterov=nesterov),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)
