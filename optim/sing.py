"""SING, and gradient centralisation by itself. Each raises ValueError, one line, for a value out of range."""

from collections.abc import Callable, Sequence
from typing import Unpack

from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages import by_name, plugins
from .stages.base import BETAS, Betas, Stage, check
from .stages.by_name import Entry
from .stages.factored import adafactor
from .stages.moments import adabelief, adam, heavy_ball
from .stages.plugins import centralize, decay_matrices, normalize

BASES: dict[str, Callable[[Betas, float, str], Stage]] = {
    "adam": lambda betas, eps, denominator: adam(betas, eps, denominator=denominator),
    "sgd": lambda betas, eps, denominator: heavy_ball(betas[0]),
    "adabelief": lambda betas, eps, denominator: adabelief(betas, eps**2, denominator, rectify=True),
    "adafactor": lambda betas, eps, denominator: adafactor(denominator=denominator, scaled=False),
}


class SING(Chain):
    """SING: g <- phi(g) / (||phi(g)|| + eps), tensor by tensor; the base optimizer sees the result.

    phi removes the mean of each slice along the first dimension, for tensors of 2 and more dimensions (Appendix A.1:
    phi and Gamma); the norm is that of the whole tensor. Decay is decoupled and of matrices only. AdaBelief's eps is
    the square of this one, and it rectifies: its package's defaults, which the paper kept (Appendix B.1). Adafactor's
    rate is lr itself (Appendix C.1). Neither has public code.

    Args:
        lr: eta, in [0, inf).
        betas: beta_1 and beta_2 of the base, in [0, 1); over SGD the first is the momentum.
        weight_decay: decoupled coefficient lambda, in [0, inf).
        base: the paper's "adam", "sgd", "adabelief" or "adafactor"; or any stage by its name, with betas, eps and
            denominator where it takes them and its own entry (`{"yogi": {"eps": 1e-3}}`) does not say otherwise.
        denominator: "softplus": softplus(sqrt(vhat)), sharpness 50, or "eps": sqrt(vhat) + eps.
        lookahead: None, or (k, alpha), k in [1, inf), alpha in [0, 1]; the authors' code has (5, 0.5).
        eps: epsilon, in [0, inf).

    References: Courtois et al. 2023 (arXiv 2305.15997), Algorithm 1, and the authors' code.

        >>> optimizer = SING(model.parameters(), lr=5e-3, weight_decay=5e-3)
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 5e-3,
        betas: Betas = (0.9, 0.999),
        weight_decay: float = 0.0,
        base: Entry | Sequence[Entry] = "adam",
        denominator: str = "softplus",
        lookahead: tuple[int, float] | None = None,
        eps: float = 1e-8,
        **options: Unpack[Options],
    ) -> None:
        check("betas", betas, BETAS)
        check("eps", eps, "[0, inf)")
        check("denominator", denominator, ("eps", "softplus"))
        if lookahead is not None:
            check("lookahead", lookahead, "[1, inf) and [0, 1]")
        stages: list[Stage] = [decay_matrices(), centralize(), normalize(eps)]
        if isinstance(base, str) and base in BASES:
            stages.append(BASES[base](betas, eps, denominator))
        else:
            stages += by_name.stages(base, "base", betas=betas, eps=eps, denominator=denominator)
        if lookahead is not None:
            stages.append(plugins.lookahead(*lookahead))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class GC_SGD(Chain, decay="coupled"):
    """SGD over g <- g - (mean of each slice along the first dimension): L2, then centred, then momentum (their code).

    Args:
        lr: alpha, in [0, inf).
        momentum: beta, in [0, 1).
        dampening: of the gradient, in [0, 1].
        weight_decay: L2 coefficient, in [0, inf).
        nesterov: with Nesterov's momentum.

    References: Yong et al. 2020 (arXiv 2004.01461), Eq. 1, Algorithm 1.

        >>> optimizer = GC_SGD(model.parameters(), lr=0.1, weight_decay=5e-4)
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
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
    """AdamW over the centred gradient of `GC_SGD` (their code with gc_loc=True).

    Args:
        lr: alpha, in [0, inf).
        betas: beta_1 and beta_2, decays of m and v, in [0, 1).
        eps: epsilon, in [0, inf).
        weight_decay: decoupled coefficient, in [0, inf).

    References: Yong et al. 2020 (arXiv 2004.01461), Eq. 1, Algorithm 2.

        >>> optimizer = GC_AdamW(model.parameters(), lr=1e-3)
        >>> optimizer.step()
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(params, (centralize(), adam(betas, eps)), lr=lr, weight_decay=weight_decay, **options)
