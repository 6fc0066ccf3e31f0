"""AdaHessian (Yao et al. 2021), Sophia (Liu et al. 2024). Each raises ValueError, one line, for values out of range."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Unpack

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .curvature import Curvature, Period, gauss_newton, hutchinson
from .stages.base import Bucket, Numbers, Stage, Step
from .stages.keywords import Betas, Eps, In, Positive, Rate, Seed, Share, WeightDecay
from .stages.lists import blend_

ESTIMATORS: dict[str, Callable[[int, int], Curvature]] = {
    "gnb": gauss_newton,
    "hutchinson": lambda period, seed: hutchinson(period, "normal", seed),
}
Scale = Annotated[Positive, "scale of h; the authors' rho; 0.01 for Sophia-H"]


class AdaHessian(Chain):
    """AdaHessian: w <- w - lr mhat / ((sqrt(vhat))^k + eps), v <- b2 v + (1 - b2) D^2, D = |z (H z)| by Hutchinson.

    z is 1 or -1 in each entry; D of a convolution is averaged over each kernel's height and width. H z is computed
    in the closure's own `loss.backward()`, by a second backward pass.

    References: Yao et al. 2021 (arXiv 2006.00719), Algorithm 1, and the authors' code. (Block averaging is theirs for
    convolutions.) Raises RuntimeError in `step` where the closure calls no `loss.backward()`.

        >>> optimizer = AdaHessian(model.parameters(), lr=0.15)
        >>> loss = optimizer.step(closure)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 0.15,
        betas: Betas = (0.9, 0.999),
        eps: Eps = 1e-4,
        weight_decay: WeightDecay = 0.0,
        hessian_power: Annotated[Share, "k"] = 1.0,
        update_period: Period = 1,
        seed: Seed = 0,
        **options: Unpack[Options],
    ) -> None:
        options.setdefault("evaluation", hutchinson(update_period, "rademacher", seed))
        super().__init__(params, (adahessian(betas, eps, hessian_power),), lr=lr, weight_decay=weight_decay, **options)


class Sophia(Chain):
    """Sophia: w <- w - lr clip(m / max(gamma h, eps), 1), h <- b2 h + (1 - b2) hhat every `update_period` steps.

    Sophia-G (estimator "gnb"): hhat = B ghat^2, ghat the mean gradient over the B predictions of a batch at labels
    that are drawn from the net's own distribution; for losses that the closure takes by cross_entropy. Sophia-H
    ("hutchinson"): hhat = z (H z), z normal. Both happen in the closure's own `loss.backward()`.

    References: Liu et al. 2024 (arXiv 2305.14342), Algorithms 1 to 3, and the authors' code, whose batch size is
    among gamma's numbers. Raises RuntimeError in `step` where the closure calls no `loss.backward()`.

        >>> optimizer = Sophia(model.parameters(), lr=1e-4)
        >>> loss = optimizer.step(closure)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-4,
        betas: Annotated[Betas, "beta_1 of m and beta_2 of h"] = (0.965, 0.99),
        eps: Annotated[Positive, "epsilon"] = 1e-12,
        weight_decay: WeightDecay = 0.1,
        gamma: Scale = 0.05,
        update_period: Period = 10,
        estimator: Annotated[str, In(tuple(ESTIMATORS)), '"gnb" or "hutchinson"'] = "gnb",
        seed: Seed = 0,
        **options: Unpack[Options],
    ) -> None:
        self.check_keywords(estimator=estimator)
        options.setdefault("evaluation", ESTIMATORS[estimator](update_period, seed))
        super().__init__(params, (sophia(betas, eps, gamma),), lr=lr, weight_decay=weight_decay, **options)


class _Diagonal(Stage):
    """A stage with a running mean `hessian` of what the evaluation estimates; it moves where there is an estimate."""

    zeros = ("exp_avg", "hessian")

    def prepare(self, chain: Chain, buckets: Sequence[Bucket]) -> None:
        if not isinstance(chain.evaluation, Curvature):
            raise RuntimeError(f"{self.name} needs evaluation=hutchinson or gauss_newton")
        for group in chain.param_groups:
            sign = -1.0 if group["maximize"] else 1.0
            for p in group["params"]:
                estimate = chain.evaluation.estimates.pop(p, None)
                if estimate is not None and p in chain.state:
                    mean = chain.state[p][f"{self.name}.hessian"]
                    mean.lerp_(self.measured(sign * estimate.to(mean.dtype)), 1 - float(group["betas"][1]))

    def measured(self, estimate: Tensor) -> Tensor:
        """What the mean is of."""
        return estimate

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        beta1, beta2 = (float(beta) for beta in hyper["betas"])
        rest = {key: float(hyper[key]) for key in self.hyper if key != "betas"}
        return {"new1": 1 - beta1, "mean": 1 / (1 - beta1**step), "root": 1 / math.sqrt(1 - beta2**step), **rest}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        m, h = bucket.buffers(self, "exp_avg", "hessian")
        blend_(m, updates, bucket.scalar(self, "new1"))
        return self.divided(bucket, m, h)

    def divided(self, bucket: Bucket, m: list[Tensor], h: list[Tensor]) -> list[Tensor]:
        """The update of m and the curvature."""
        raise NotImplementedError


class adahessian(_Diagonal):
    """The update of `AdaHessian`, after the evaluation `hutchinson`."""

    name = "adahessian"

    def __init__(self, betas: Betas = (0.9, 0.999), eps: Eps = 1e-4, hessian_power: Share = 1.0) -> None:
        super().__init__(betas=betas, eps=eps, hessian_power=hessian_power)

    def measured(self, estimate: Tensor) -> Tensor:
        size = estimate.abs()
        if size.ndim == 4:
            size = size.mean((2, 3), keepdim=True).expand_as(size)
        return size * size

    def divided(self, bucket: Bucket, m: list[Tensor], h: list[Tensor]) -> list[Tensor]:
        numbers = zip(*(bucket.scalar(self, key) for key in ("mean", "root", "hessian_power", "eps")), strict=True)
        entries = zip(m, h, numbers, strict=True)
        return [x * mean / ((v.sqrt() * root) ** k + eps) for x, v, (mean, root, k, eps) in entries]


class sophia(_Diagonal):
    """The update of `Sophia`, after the evaluation `gauss_newton` or `hutchinson`."""

    name = "sophia"

    def __init__(self, betas: Betas = (0.965, 0.99), eps: Positive = 1e-12, gamma: Positive = 0.05) -> None:
        super().__init__(betas=betas, eps=eps, gamma=gamma)

    def divided(self, bucket: Bucket, m: list[Tensor], h: list[Tensor]) -> list[Tensor]:
        numbers = zip(bucket.scalar(self, "gamma"), bucket.scalar(self, "eps"), strict=True)
        entries = zip(m, h, numbers, strict=True)
        return [(x / (v * gamma).clamp(min=eps)).clamp(-1, 1) for x, v, (gamma, eps) in entries]
