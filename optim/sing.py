"""SING, and gradient centralisation by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Unpack

from optim.chain import Chain, Options
from optim.stages import adabelief, adafactor, adam, centralize, decay_matrices, normalize
from optim.stages import lookahead as averaged
from optim.stages import momentum as heavy_ball
from optim.stages.base import BETAS, Stage, check

BASES: dict[str, Callable[..., Stage]] = {
    "adam": lambda betas, eps, denominator: adam(betas, eps, denominator=denominator),
    "sgd": lambda betas, eps, denominator: heavy_ball(betas[0]),
    "adabelief": lambda betas, eps, denominator: adabelief(betas, eps**2, denominator, rectify=True),
    "adafactor": lambda betas, eps, denominator: adafactor(denominator=denominator, scaled=False),
}


class SING(Chain):
    """SING (Courtois et al. 2023; the authors' code): g <- phi(g) / (||phi(g)|| + eps), tensor by tensor.

    phi removes the mean of each slice along the first dimension, for tensors of 2 and more dimensions (Appendix A.1:
    phi and Gamma); the norm is that of the whole tensor. The base optimizer sees the result. Decay is decoupled and
    of matrices only. `denominator="softplus"`: softplus(sqrt(vhat)), sharpness 50, in the place of sqrt(vhat) + eps.
    `lookahead`: None, or (k, alpha); the authors' code has (5, 0.5). Over SGD, betas[0] is the momentum.
    AdaBelief's eps is the square of this one, and it rectifies: its package's defaults, which the paper kept (Appendix
    B.1). Adafactor's rate is lr itself (Appendix C.1). Neither has public code.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        base: str = "adam",
        denominator: str = "softplus",
        lookahead: tuple[int, float] | None = None,
        eps: float = 1e-8,
        **options: Unpack[Options],
    ) -> None:
        check("base", base, tuple(BASES))
        check("betas", betas, BETAS)
        check("eps", eps, "[0, inf)")
        if lookahead is not None:
            check("lookahead", lookahead, "[1, inf) and [0, 1]")
        stages: list[Stage] = [decay_matrices(), centralize(), normalize(eps), BASES[base](betas, eps, denominator)]
        if lookahead is not None:
            stages.append(averaged(*lookahead))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class GC_SGD(Chain):
    """SGD with gradient centralisation (Yong et al. 2020, Eq. 1): L2, then centred, then momentum (their code)."""

    decay: ClassVar[str] = "coupled"

    def __init__(
        self,
        params: Any,
        lr: float = 0.1,
        momentum: float = 0.9,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        stages = (centralize(), heavy_ball(momentum, dampening, nesterov))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class GC_AdamW(Chain):
    """AdamW over the centralised gradient (Yong et al. 2020, Eq. 1; their code with gc_loc=True)."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, (centralize(), adam(betas, eps)), lr=lr, weight_decay=weight_decay, **options)
