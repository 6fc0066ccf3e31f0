"""Optimizers that the papers compare with and torch lacks, or has in another form: AdaBelief, AdaBound, Yogi, LAMB,
Adafactor with its rate as given, LookAhead. Each raises ValueError, one line, for a value out of range.
"""

from typing import Annotated, Unpack

from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages import by_name
from .stages.by_name import Base
from .stages.factored import EPS, Beta2Decay, LargestRms, Smallest, adafactor
from .stages.keywords import Betas, Count, Eps, In, NotNegative, Positive, Rate, Share, WeightDecay
from .stages.moments import adabelief, adabound, adam, heavy_ball, yogi
from .stages.plugins import lookahead, trust_ratio


class AdaBelief(Chain):
    """AdaBelief: s <- b2 s + (1 - b2) (g - m)^2 + eps, w <- w - lr mhat / (sqrt(shat) + eps).

    Their CIFAR runs: eps 1e-8, weight_decay 5e-4 with `decay="coupled"`; ImageNet: weight_decay 1e-2, decoupled.

    References: Zhuang et al. 2020 (arXiv 2010.07468), Algorithm 2.

        >>> optimizer = AdaBelief(model.parameters(), lr=1e-3, weight_decay=1e-2)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-3,
        betas: Annotated[Betas, "beta_1 and beta_2, decays of m and s"] = (0.9, 0.999),
        eps: Annotated[Eps, "epsilon, of the size of Adam's squared"] = 1e-16,
        weight_decay: WeightDecay = 0.0,
        rectify: Annotated[bool, "RAdam's factor, as the authors' package since 0.2; off in their experiments"] = False,
        **options: Unpack[Options],
    ) -> None:
        stages = (adabelief(betas, eps, rectify=rectify),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class AdaBound(Chain, decay="coupled"):
    """AdaBound: w <- w - clip(lr sqrt(1 - b2^t) / (1 - b1^t) / (sqrt(v) + eps), lo_t, hi_t) m.

    lo_t = f (1 - 1 / (gamma t + 1)) and hi_t = f (1 + 1 / (gamma t)) close on f = final_lr lr / lr_0, so that a
    schedule scales them too. So the authors' code; the printed algorithm has 1 / sqrt(t) and neither bias correction
    nor eps. Decay is coupled.

    References: Luo et al. 2019 (arXiv 1902.09843), Algorithm 2.

        >>> optimizer = AdaBound(model.parameters(), lr=1e-3, final_lr=0.1)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Annotated[Positive, "alpha"] = 1e-3,
        betas: Betas = (0.9, 0.999),
        final_lr: Annotated[Positive, "the rate of SGD that the bounds close on"] = 0.1,
        gamma: Annotated[Positive, "pace of the bounds"] = 1e-3,
        eps: Eps = 1e-8,
        weight_decay: WeightDecay = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stages = (adabound(betas, eps, final_lr, gamma),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class Yogi(Chain, decay="coupled"):
    """Yogi: v <- v - (1 - b2) sign(v - g^2) g^2, w <- w - lr mhat / (sqrt(vhat) + eps).

    m_0 = 0 as printed. Decay is coupled.

    References: Zaheer et al.: Adaptive Methods for Nonconvex Optimization, NeurIPS 2018, Algorithm 2.

        >>> optimizer = Yogi(model.parameters(), lr=1e-2)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-2,
        betas: Betas = (0.9, 0.999),
        eps: Eps = 1e-3,
        initial_accumulator: Annotated[NotNegative, "v_0 (the paper takes a first batch's g^2)"] = 1e-6,
        weight_decay: WeightDecay = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, (yogi(betas, eps, initial_accumulator),), lr=lr, weight_decay=weight_decay, **options)


class LAMB(Chain):
    """LAMB: r = mhat / (sqrt(vhat) + eps), u = r + weight_decay w, w <- w - lr min(||w||, max_norm) / ||u|| u.

    References: You et al. 2020 (arXiv 1904.00962), Algorithm 2.

        >>> optimizer = LAMB(model.parameters(), lr=1e-3)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: Eps = 1e-6,
        weight_decay: WeightDecay = 0.01,
        max_norm: Annotated[float, In("(0, inf]"), "bound of phi(z) = min(z, max_norm)"] = 10.0,
        debias: Annotated[bool, "bias correction; without, it is the paper's third version"] = True,
        **options: Unpack[Options],
    ) -> None:
        stages = (adam(betas, eps, debias=debias), trust_ratio(max_norm))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class Adafactor(Chain):
    """Adafactor without its own step size: w <- w - lr U / max(1, RMS(U) / d), U = g / sqrt(Vhat).

    torch's takes min(lr, 1 / sqrt(t)) max(1e-3, RMS(w)) in the place of lr, and cannot do otherwise; SING's paper
    trained with that switched off (Appendix C.1). No momentum; decay is decoupled.

    References: Shazeer and Stern 2018 (arXiv 1804.04235), Algorithms 4 and 5.

        >>> optimizer = Adafactor(model.parameters(), lr=1e-2)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-2,
        beta2_decay: Beta2Decay = -0.8,
        eps1: Smallest = EPS,
        d: LargestRms = 1.0,
        weight_decay: WeightDecay = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stages = (adafactor(beta2_decay, eps1, d=d, scaled=False),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class LookAhead(Chain, decay="coupled"):
    """LookAhead: every k steps of the base w <- slow + alpha (w - slow), slow <- w.

    Over any other chain it is the stage `lookahead`. Decay is coupled.

    References: Zhang et al. 2019 (arXiv 1907.08610), Algorithm 1.

        >>> optimizer = LookAhead(model.parameters(), lr=0.1, k=5, alpha=0.8)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 0.1,
        betas: Annotated[Betas, "of the base; over SGD the first is the momentum"] = (0.9, 0.999),
        weight_decay: WeightDecay = 0.0,
        base: Base = "sgd",
        k: Annotated[Count, "steps between two averages; it and alpha as in the authors' code"] = 5,
        alpha: Annotated[Share, "step of the slow weights"] = 0.8,
        **options: Unpack[Options],
    ) -> None:
        self.check_keywords(betas=betas)
        stages = [heavy_ball(betas[0])] if base == "sgd" else by_name.stages(base, "base", betas=betas)
        super().__init__(params, (*stages, lookahead(k, alpha)), lr=lr, weight_decay=weight_decay, **options)
