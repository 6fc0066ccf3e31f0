"""SING, and gradient centralisation by itself. Each raises ValueError, one line, for a value out of range."""

from collections.abc import Callable
from typing import Annotated, Unpack

from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages import by_name, plugins
from .stages.base import Stage
from .stages.by_name import Base
from .stages.factored import adafactor
from .stages.keywords import Betas, Eps, In, Momentum, Rate, WeightDecay
from .stages.moments import Dampening, Denominator, Nesterov, adabelief, adam, heavy_ball
from .stages.plugins import centralize, decay_matrices, normalize

BASES: dict[str, Callable[[Betas, float, str], Stage]] = {
    "adam": lambda betas, eps, denominator: adam(betas, eps, denominator=denominator),
    "sgd": lambda betas, eps, denominator: heavy_ball(betas[0]),
    "adabelief": lambda betas, eps, denominator: adabelief(betas, eps**2, denominator, rectify=True),
    "adafactor": lambda betas, eps, denominator: adafactor(denominator=denominator, scaled=False),
}

KAndAlpha = Annotated[
    tuple[int, float] | None, In("[1, inf) and [0, 1]"), "None, or (k, alpha); the authors' code has (5, 0.5)"
]


class SING(Chain):
    """SING: g <- phi(g) / (||phi(g)|| + eps), tensor by tensor; the base optimizer sees the result.

    phi removes the mean of each slice along the first dimension, for tensors of 2 and more dimensions (Appendix A.1:
    phi and Gamma); the norm is that of the whole tensor. Decay is decoupled and of matrices only. AdaBelief's eps is
    the square of this one, and it rectifies: its package's defaults, which the paper kept (Appendix B.1). Adafactor's
    rate is lr itself (Appendix C.1). Neither has public code. The paper's bases are "adam", "sgd", "adabelief" and
    "adafactor".

    References: Courtois et al. 2023 (arXiv 2305.15997), Algorithm 1, and the authors' code.

        >>> optimizer = SING(model.parameters(), lr=5e-3, weight_decay=5e-3)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 5e-3,
        betas: Annotated[Betas, "of the base; over SGD the first is the momentum"] = (0.9, 0.999),
        weight_decay: WeightDecay = 0.0,
        base: Base = "adam",
        denominator: Denominator = "softplus",
        lookahead: KAndAlpha = None,
        eps: Eps = 1e-8,
        **options: Unpack[Options],
    ) -> None:
        self.check_keywords(betas=betas, eps=eps, denominator=denominator)
        stages: list[Stage] = [decay_matrices(), centralize(), normalize(eps)]
        if isinstance(base, str) and base in BASES:
            stages.append(BASES[base](betas, eps, denominator))
        else:
            stages += by_name.stages(base, "base", betas=betas, eps=eps, denominator=denominator)
        if lookahead is not None:
            self.check_keywords(lookahead=lookahead)
            stages.append(plugins.lookahead(*lookahead))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class GC_SGD(Chain, decay="coupled"):
    """SGD over g <- g - (mean of each slice along the first dimension): L2, then centred, then momentum (their code).

    References: Yong et al. 2020 (arXiv 2004.01461), Eq. 1, Algorithm 1.

        >>> optimizer = GC_SGD(model.parameters(), lr=0.1, weight_decay=5e-4)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 0.1,
        momentum: Momentum = 0.9,
        dampening: Dampening = 0.0,
        weight_decay: WeightDecay = 0.0,
        nesterov: Nesterov = False,
        **options: Unpack[Options],
    ) -> None:
        stages = (centralize(), heavy_ball(momentum, dampening, nesterov))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class GC_AdamW(Chain):
    """AdamW over the centred gradient of `GC_SGD` (their code with gc_loc=True).

    References: Yong et al. 2020 (arXiv 2004.01461), Eq. 1, Algorithm 2.

        >>> optimizer = GC_AdamW(model.parameters(), lr=1e-3)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: Eps = 1e-8,
        weight_decay: WeightDecay = 0.01,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, (centralize(), adam(betas, eps)), lr=lr, weight_decay=weight_decay, **options)
