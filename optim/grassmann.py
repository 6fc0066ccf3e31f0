"""Optimizers on the unit sphere: SGD-G and Adam-G (Cho and Lee: Riemannian approach to batch normalization, NIPS 2017),
Adam-G as Adam-SRT's repository has it, and AdamG* (Roburin et al. 2022, Theorem 4).

On the sphere are the groups of weights that the param group's `invariance` names; the others get a plain method with
coupled decay (L2), which does not act on the sphere.
"""

from __future__ import annotations

from typing import Any, ClassVar, Unpack

from optim.chain import Chain, Options
from optim.stages.base import BETAS, Stage, check
from optim.stages.choice import by_invariance
from optim.stages.grassmann import sphere_adam, sphere_adam_repo, sphere_momentum, sphere_sgd
from optim.stages.moments import adam
from optim.stages.moments import momentum as heavy_ball


class SGDG(Chain):
    """SGD-G (Cho and Lee, Algorithm 1): d = mu b - lr_ratio lr h, y <- y cos||d|| + d sin||d|| / ||d||, b <- d carried.

    The rest: SGD with Nesterov's momentum. Defaults of the authors' script (rates 0.2 and 0.01).
    """

    decay: ClassVar[str] = "coupled"

    def __init__(
        self,
        params: Any,
        lr: float = 0.01,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        omega: float = 0.1,
        grad_clip: float = 0.1,
        lr_ratio: float = 20.0,
        **options: Unpack[Options],
    ) -> None:
        spherical = sphere_momentum(momentum, omega, grad_clip, lr_ratio)
        stage = by_invariance(heavy_ball(momentum, nesterov=True), spherical)
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)


class AdamG(Chain):
    """Adam-G (Cho and Lee, Algorithm 2): d = -lr_ratio lr alpha m / sqrt(v + eps), y <- exp_y(d), m <- m carried.

    `rest`: "sgd" (the authors: Nesterov, momentum b1) or "adam" (as Roburin et al. used it). Defaults of the authors'
    script (rates 0.05 and 0.01). Not the parameter-free AdamG of 2024.
    """

    decay: ClassVar[str] = "coupled"

    def __init__(
        self,
        params: Any,
        lr: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        omega: float = 0.1,
        grad_clip: float = 0.1,
        lr_ratio: float = 5.0,
        rest: str = "sgd",
        **options: Unpack[Options],
    ) -> None:
        check("betas", betas, BETAS)
        plain: dict[str, Stage] = {"sgd": heavy_ball(betas[0], nesterov=True), "adam": adam(betas, eps)}
        check("rest", rest, tuple(plain))
        stage = by_invariance(plain[rest], sphere_adam(betas, eps, omega, grad_clip, lr_ratio))
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)


class AdamGRepo(Chain):
    """AdamG of Adam-SRT's repository with its branches put right: x <- unit(x - lr mhat / (sqrt(vhat) + eps)).

    There the convolutions got Adam and all the rest the sphere. The rest here: Adam.
    """

    decay: ClassVar[str] = "coupled"

    def __init__(
        self,
        params: Any,
        lr: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stage = by_invariance(adam(betas, eps), sphere_adam_repo(betas, eps))
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)


class AdamGStar(Chain):
    """AdamG* (Theorem 4): v <- beta v + ||g||^2, y <- unit(y - eta g / sqrt(v)), which follows SGD to second order.

    That SGD is the one with this lr and this L2 coefficient lambda: beta = (1 - lr lambda)^4, eta = (2 beta)^(-1/2),
    v_0 = ||w_0||^4 / (2 lr^2 sqrt(beta)). The rest gets that SGD itself.
    """

    decay: ClassVar[str] = "coupled"

    def __init__(self, params: Any, lr: float = 0.1, weight_decay: float = 5e-4, **options: Unpack[Options]) -> None:
        stage = by_invariance(heavy_ball(0.0), sphere_sgd())
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)
