"""Adam-S, Adam-SRT and SGD-MRT (Roburin, de Mont-Marin, Bursuc, Marlet, Perez, Aubry: Spherical Perspective on
Learning with Normalization Layers, Neurocomputing 2022).

Each reads the param group's `invariance` (see `optim.param_groups`); "none" is Adam, or SGD. Decay is coupled (L2).
Each raises ValueError, one line, for a value out of range.
"""

from typing import Unpack

from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages.keywords import Betas, Eps, Momentum, Rate, WeightDecay
from .stages.moments import Dampening, heavy_ball
from .stages.sphere import group_adam, transported


class AdamS(Chain, decay="coupled"):
    """Adam-S: v <- b2 v + (1 - b2) ||g||^2 / d per group of d entries, x <- x - lr mhat / (sqrt(vhat) + eps).

    So the direction is that of m. The authors' code holds the sum and multiplies the rate by sqrt(d): the same, but
    for its eps, which is ours divided by sqrt(d). Groups of one entry give Adam.

    References: Sec. 4.1.

        >>> optimizer = AdamS(param_groups(model, invariance="auto"), lr=1e-3)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: Eps = 1e-8,
        weight_decay: WeightDecay = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, (group_adam(betas, eps),), lr=lr, weight_decay=weight_decay, **options)


class AdamSRT(Chain, decay="coupled"):
    """Adam-SRT: Adam-S, then m <- (<x', x> m - <x', m> x) / <x', x'> and v <- v <x, x> / <x', x'> per group.

    So m is tangent to the sphere at x' and shrinks as the gradient does, by ||x|| / ||x'||. (Line 10 of Algorithm 1 has
    a stray m.)

    References: Algorithm 1, Eq. 18 and 75.

        >>> optimizer = AdamSRT(param_groups(model, invariance="auto"), lr=1e-3)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: Eps = 1e-8,
        weight_decay: WeightDecay = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stage = transported(group_adam(betas, eps), "exp_avg", "exp_avg_sq")
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)


class SGDMRT(Chain, decay="coupled"):
    """SGD-MRT: b <- mu b + (1 - dampening) g from b = 0, x' = x - lr b, then b is carried as m is in `AdamSRT`.

    References: Appendix E.

        >>> optimizer = SGDMRT(param_groups(model, invariance="auto"), lr=0.1)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 0.1,
        momentum: Momentum = 0.9,
        dampening: Dampening = 0.0,
        weight_decay: WeightDecay = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stage = transported(heavy_ball(momentum, dampening, first="zero"), "buffer")
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)
