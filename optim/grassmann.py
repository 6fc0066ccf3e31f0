"""Optimizers on the unit sphere: SGD-G and Adam-G (Cho and Lee: Riemannian approach to batch normalization, NIPS 2017),
Adam-G as Adam-SRT's repository has it, and AdamG* (Roburin et al. 2022, Theorem 4).

On the sphere are the groups of weights that the param group's `invariance` names (see `optim.param_groups`); the others
get a plain method with coupled decay (L2), which does not act on the sphere. y is a group divided by its norm, exp_y
the exponential map, h the gradient's tangent part there (`optim.stages.grassmann.Riemannian`). Each optimizer raises
ValueError, one line, for a value out of range.
"""

from typing import Annotated, Unpack

from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages.base import Stage
from .stages.grassmann import Clip, Omega, Ratio, sphere_adam, sphere_adam_repo, sphere_momentum, sphere_sgd
from .stages.keywords import Betas, Eps, In, Momentum, NotNegative, Rate, WeightDecay
from .stages.moments import adam, heavy_ball
from .stages.sphere import by_invariance

RestRate = Annotated[Rate, "rate of the rest"]
RestDecay = Annotated[WeightDecay, "L2 coefficient of the rest"]


class SGDG(Chain, decay="coupled"):
    """SGD-G: d = mu b - lr_ratio lr h, y <- exp_y(d) = y cos||d|| + d sin||d|| / ||d||, b <- d carried along itself.

    The rest: SGD with Nesterov's momentum. Defaults of the authors' script (rates 0.2 and 0.01).

    References: Cho and Lee, Algorithm 1.

        >>> optimizer = SGDG(param_groups(model, invariance="auto"), lr=0.01)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: RestRate = 0.01,
        momentum: Annotated[Momentum, "gamma in the paper"] = 0.9,
        weight_decay: RestDecay = 0.0,
        omega: Omega = 0.1,
        grad_clip: Clip = 0.1,
        lr_ratio: Ratio = 20.0,
        **options: Unpack[Options],
    ) -> None:
        spherical = sphere_momentum(momentum, omega, grad_clip, lr_ratio)
        stage = by_invariance(heavy_ball(momentum, nesterov=True), spherical)
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)


class AdamG(Chain, decay="coupled"):
    """Adam-G: d = -lr_ratio lr sqrt(1 - b2^t) / (1 - b1^t) m / sqrt(v + eps), y <- exp_y(d), m <- m carried along d.

    v holds one number a group. Defaults of the authors' script (rates 0.05 and 0.01). Not the parameter-free AdamG of
    2024.

    References: Cho and Lee, Algorithm 2.

        >>> optimizer = AdamG(param_groups(model, invariance="auto"), lr=0.01)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: RestRate = 0.01,
        betas: Betas = (0.9, 0.99),
        eps: Annotated[Eps, "epsilon, inside the root"] = 1e-8,
        weight_decay: RestDecay = 0.0,
        omega: Omega = 0.1,
        grad_clip: Clip = 0.1,
        lr_ratio: Ratio = 5.0,
        rest: Annotated[str, In(("sgd", "adam")), '"sgd" (the authors: Nesterov, momentum beta_1) or "adam"'] = "sgd",
        **options: Unpack[Options],
    ) -> None:
        self.check_keywords(betas=betas, rest=rest)
        plain: dict[str, Stage] = {"sgd": heavy_ball(betas[0], nesterov=True), "adam": adam(betas, eps)}
        stage = by_invariance(plain[rest], sphere_adam(betas, eps, omega, grad_clip, lr_ratio))
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)


class AdamGRepo(Chain, decay="coupled"):
    """AdamG of Adam-SRT's repository with its branches put right: x <- unit(x - lr mhat / (sqrt(vhat) + eps)).

    There the convolutions got Adam and all the rest the sphere. The rest here: Adam.

    References: the repository of Roburin et al. 2022.

        >>> optimizer = AdamGRepo(param_groups(model, invariance="auto"), lr=0.01)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 0.01,
        betas: Betas = (0.9, 0.99),
        eps: Eps = 1e-8,
        weight_decay: RestDecay = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stage = by_invariance(adam(betas, eps), sphere_adam_repo(betas, eps))
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)


class AdamGStar(Chain, decay="coupled"):
    """AdamG*: v <- beta v + ||g||^2, y <- unit(y - eta g / sqrt(v)), which follows SGD to second order.

    That SGD is the one with this lr and this L2 coefficient lambda: beta = (1 - lr lambda)^4, eta = (2 beta)^(-1/2),
    v_0 = ||w_0||^4 / (2 lr^2 sqrt(beta)). The rest gets that SGD itself.

    References: Roburin et al. 2022, Theorem 4.

        >>> optimizer = AdamGStar(param_groups(model, invariance="auto"), lr=0.1)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Annotated[NotNegative, "of that SGD"] = 0.1,
        weight_decay: Annotated[NotNegative, "lambda of that SGD"] = 5e-4,
        **options: Unpack[Options],
    ) -> None:
        stage = by_invariance(heavy_ball(0.0), sphere_sgd())
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)
