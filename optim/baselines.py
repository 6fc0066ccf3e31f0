"""Optimizers that the papers compare with and torch lacks, or has in another form: AdaBelief, AdaBound, Yogi, LAMB,
Adafactor with its rate as given, LookAhead. Each raises ValueError, one line, for a value out of range.
"""

from collections.abc import Sequence
from typing import Unpack

from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages import by_name
from .stages.base import BETAS, Betas, check
from .stages.by_name import Entry
from .stages.factored import EPS, adafactor
from .stages.moments import adabelief, adabound, adam, heavy_ball, yogi
from .stages.plugins import lookahead, trust_ratio


class AdaBelief(Chain):
    """AdaBelief: s <- b2 s + (1 - b2) (g - m)^2 + eps, w <- w - lr mhat / (sqrt(shat) + eps).

    Their CIFAR runs: eps 1e-8, weight_decay 5e-4 with `decay="coupled"`; ImageNet: weight_decay 1e-2, decoupled.

    Args:
        lr: alpha, in [0, inf).
        betas: beta_1 and beta_2, decays of m and s, in [0, 1).
        eps: epsilon, of the size of Adam's squared, in [0, inf).
        weight_decay: decoupled coefficient, in [0, inf).
        rectify: RAdam's factor, as the authors' package since 0.2; in their experiments it was off.

    References: Zhuang et al. 2020 (arXiv 2010.07468), Algorithm 2.

        >>> optimizer = AdaBelief(model.parameters(), lr=1e-3, weight_decay=1e-2)
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0.0,
        rectify: bool = False,
        **options: Unpack[Options],
    ) -> None:
        stages = (adabelief(betas, eps, rectify=rectify),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class AdaBound(Chain, decay="coupled"):
    """AdaBound: w <- w - clip(lr sqrt(1 - b2^t) / (1 - b1^t) / (sqrt(v) + eps), lo_t, hi_t) m.

    lo_t = f (1 - 1 / (gamma t + 1)) and hi_t = f (1 + 1 / (gamma t)) close on f = final_lr lr / lr_0, so that a
    schedule scales them too. So the authors' code; the printed algorithm has 1 / sqrt(t) and neither bias correction
    nor eps. Decay is coupled.

    Args:
        lr: alpha, in (0, inf).
        betas: beta_1 and beta_2, decays of m and v, in [0, 1).
        final_lr: the rate of SGD that the bounds close on, in (0, inf).
        gamma: pace of the bounds, in (0, inf).
        eps: epsilon, in [0, inf).
        weight_decay: L2 coefficient, in [0, inf).

    References: Luo et al. 2019 (arXiv 1902.09843), Algorithm 2.

        >>> optimizer = AdaBound(model.parameters(), lr=1e-3, final_lr=0.1)
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stages = (adabound(betas, eps, final_lr, gamma),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class Yogi(Chain, decay="coupled"):
    """Yogi: v <- v - (1 - b2) sign(v - g^2) g^2, w <- w - lr mhat / (sqrt(vhat) + eps).

    m_0 = 0 as printed. Decay is coupled.

    Args:
        lr: eta, in [0, inf).
        betas: beta_1 and beta_2, decays of m and v, in [0, 1).
        eps: epsilon, in [0, inf).
        initial_accumulator: v_0, in [0, inf) (the paper takes a first batch's g^2).
        weight_decay: L2 coefficient, in [0, inf).

    References: Zaheer et al.: Adaptive Methods for Nonconvex Optimization, NeurIPS 2018, Algorithm 2.

        >>> optimizer = Yogi(model.parameters(), lr=1e-2)
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-3,
        initial_accumulator: float = 1e-6,
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, (yogi(betas, eps, initial_accumulator),), lr=lr, weight_decay=weight_decay, **options)


class LAMB(Chain):
    """LAMB: r = mhat / (sqrt(vhat) + eps), u = r + weight_decay w, w <- w - lr min(||w||, max_norm) / ||u|| u.

    Args:
        lr: eta, in [0, inf).
        betas: beta_1 and beta_2, decays of m and v, in [0, 1).
        eps: epsilon, in [0, inf).
        weight_decay: lambda, in [0, inf).
        max_norm: bound of phi(z) = min(z, max_norm), in (0, inf].
        debias: bias correction; without, it is the paper's third version.

    References: You et al. 2020 (arXiv 1904.00962), Algorithm 2.

        >>> optimizer = LAMB(model.parameters(), lr=1e-3)
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        max_norm: float = 10.0,
        debias: bool = True,
        **options: Unpack[Options],
    ) -> None:
        stages = (adam(betas, eps, debias=debias), trust_ratio(max_norm))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class Adafactor(Chain):
    """Adafactor without its own step size: w <- w - lr U / max(1, RMS(U) / d), U = g / sqrt(Vhat).

    torch's takes min(lr, 1 / sqrt(t)) max(1e-3, RMS(w)) in the place of lr, and cannot do otherwise; SING's paper
    trained with that switched off (Appendix C.1). No momentum; decay is decoupled.

    Args:
        lr: rho, in [0, inf).
        beta2_decay: exponent of b2_t = 1 - t^beta2_decay, in (-inf, 0].
        eps1: epsilon_1, whose square bounds Vhat from below, in (0, inf).
        d: bound of RMS(U), in [1, inf).
        weight_decay: decoupled coefficient, in [0, inf).

    References: Shazeer and Stern 2018 (arXiv 1804.04235), Algorithms 4 and 5.

        >>> optimizer = Adafactor(model.parameters(), lr=1e-2)
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps1: float = EPS,
        d: float = 1.0,
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stages = (adafactor(beta2_decay, eps1, d=d, scaled=False),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class LookAhead(Chain, decay="coupled"):
    """LookAhead: every k steps of the base w <- slow + alpha (w - slow), slow <- w.

    Over any other chain it is the stage `lookahead`. Decay is coupled.

    Args:
        lr: rate of the base, in [0, inf).
        betas: of the base, in [0, 1); over SGD the first is the momentum.
        weight_decay: L2 coefficient, in [0, inf).
        base: "sgd", "adam", or any stage by its name, with these betas unless its own entry says otherwise.
        k: steps between two averages, in [1, inf); it and alpha as in the authors' code.
        alpha: step of the slow weights, in [0, 1].

    References: Zhang et al. 2019 (arXiv 1907.08610), Algorithm 1.

        >>> optimizer = LookAhead(model.parameters(), lr=0.1, k=5, alpha=0.8)
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.1,
        betas: Betas = (0.9, 0.999),
        weight_decay: float = 0.0,
        base: Entry | Sequence[Entry] = "sgd",
        k: int = 5,
        alpha: float = 0.8,
        **options: Unpack[Options],
    ) -> None:
        check("betas", betas, BETAS)
        stages = [heavy_ball(betas[0])] if base == "sgd" else by_name.stages(base, "base", betas=betas)
        super().__init__(params, (*stages, lookahead(k, alpha)), lr=lr, weight_decay=weight_decay, **options)
