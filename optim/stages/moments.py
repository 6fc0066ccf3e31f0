"""Running averages of the gradient: momentum, and Adam with its relatives."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .base import Bucket, Numbers, Ranges, Scalar, Stage, Step
from .keywords import Betas, Eps, In, Momentum, NotNegative, Positive, Share
from .lists import add_, add_product_, add_scalar_, blend_, either, quotients, root

LOG2 = math.log(2)
SHARPNESS = 50.0  # SING's softplus, in its authors' code
Dampening = Annotated[Share, "share of the gradient left out of the momentum"]
Nesterov = Annotated[bool, "with Nesterov's momentum"]
Denominator = Annotated[
    str, In(("eps", "softplus")), '"softplus": softplus(sqrt(vhat)), sharpness 50, or "eps": sqrt(vhat) + eps'
]


class heavy_ball(Stage):
    """Heavy ball (torch.optim.SGD): b <- mu b + (1 - dampening) g; the update is b, or g + mu b with Nesterov.

    `first="gradient"` starts at b_1 = g_1 as torch does, `first="zero"` at b_0 = 0, so b_1 = (1 - dampening) g_1
    (SGDP, SGD-MRT).
    """

    name = "momentum"
    zeros = ("buffer",)

    def __init__(
        self,
        momentum: Momentum = 0.9,
        dampening: Dampening = 0.0,
        nesterov: Nesterov = False,
        first: Annotated[str, In(("gradient", "zero"))] = "gradient",
    ) -> None:
        super().__init__(momentum=momentum, dampening=dampening, nesterov=nesterov)
        self.check_constants(first=first)
        self.first = first

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        gain: Scalar = 1.0 - float(hyper["dampening"])
        if self.first == "gradient":
            gain = either(step == 1, 1.0, gain)
        return {"momentum": float(hyper["momentum"]), "gain": gain}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        (buffer,) = bucket.buffers(self, "buffer")
        mu, gain = bucket.scalar(self, "momentum"), bucket.scalar(self, "gain")
        torch._foreach_mul_(buffer, mu)
        add_(buffer, updates, gain)
        if bucket.options["nesterov"]:
            ahead = list(torch._foreach_mul(buffer, mu))
            torch._foreach_add_(ahead, updates)
            return ahead
        return buffer


class adam(Stage):
    """Adam (Kingma and Ba 2015, Algorithm 1): m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, update mhat / D.

    D = sqrt(vhat) + eps, or softplus(sqrt(vhat)) with sharpness 50 and no eps (`denominator`; SING's authors).
    Nesterov puts b1 m + (1 - b1) g in the place of m (AdamP's authors). `debias=False`: mhat = m, vhat = v.
    """

    name = "adam"
    zeros: tuple[str, ...] = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        betas: Betas = (0.9, 0.999),
        eps: Eps = 1e-8,
        nesterov: Nesterov = False,
        denominator: Denominator = "eps",
        debias: bool = True,
    ) -> None:
        super().__init__(betas=betas, eps=eps, nesterov=nesterov)
        self.check_constants(denominator=denominator)
        self.denominator, self.debias = denominator, debias

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        beta1, beta2 = (float(beta) for beta in hyper["betas"])
        bias1, bias2 = (1 - beta1**step, 1 - beta2**step) if self.debias else (1.0, 1.0)
        news: Numbers = {"beta2": beta2, "new1": 1 - beta1, "new2": 1 - beta2}
        return news | self.denominators(bias1, bias2, float(hyper["eps"]))

    def denominators(self, bias1: Scalar, bias2: Scalar, eps: float) -> Numbers:
        """What m is divided by is `after` * f(`slope` * sqrt(v) + `shift`), where f is softplus or nothing."""
        if self.denominator == "softplus":
            return {"slope": SHARPNESS / root(bias2), "shift": 0.0, "after": bias1 / SHARPNESS}
        return {"slope": bias1 / root(bias2), "shift": eps * bias1, "after": 1.0}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        m, v = bucket.buffers(self, "exp_avg", "exp_avg_sq")
        blend_(m, updates, bucket.scalar(self, "new1"))
        self.second(bucket, m, v, updates)
        if bucket.options["nesterov"]:
            m = [x.clone() for x in m]
            blend_(m, updates, bucket.scalar(self, "new1"))
        return self.divide(bucket, m, v)

    def second(self, bucket: Bucket, m: list[Tensor], v: list[Tensor], g: list[Tensor]) -> None:
        """v <- b2 v + (1 - b2) g^2, in place."""
        torch._foreach_mul_(v, bucket.scalar(self, "beta2"))
        add_product_(v, g, g, bucket.scalar(self, "new2"))

    def divide(self, bucket: Bucket, m: list[Tensor], v: list[Tensor]) -> list[Tensor]:
        """mhat / D; the bias correction of m is folded into the numbers of D."""
        return quotients(m, self.roots(bucket, v))

    def roots(self, bucket: Bucket, v: list[Tensor]) -> list[Tensor]:
        """The denominators of m, one new tensor each."""
        roots = list(torch._foreach_sqrt(v))
        torch._foreach_mul_(roots, bucket.scalar(self, "slope"))
        if self.denominator == "softplus":
            roots = [positive_softplus(root) for root in roots]
            torch._foreach_mul_(roots, bucket.scalar(self, "after"))
        else:
            add_scalar_(roots, bucket.scalar(self, "shift"))
        return roots


def positive_softplus(x: Tensor) -> Tensor:
    """torch's softplus for x >= 0.

    In the trace of a float32 step: x + log1p(t), t = exp(-x), as 2 artanh(t / (2 + t)) by its series, whose eighth term
    is below the last bit. So one special function is left, which takes a step of SING from 3.7 to 2.8 of AdamW's.
    """
    if not torch.compiler.is_compiling() or x.dtype != torch.float32:
        return softplus(x)
    t = torch.exp2(x * -math.log2(math.e))
    s = t / (t + 2)
    series = torch.zeros_like(s)
    for power in range(13, 0, -2):
        series = series * (s * s) + 2 / power
    return x + s * series


class adabelief(adam):
    """Adam with the s of `optim.AdaBelief` in the place of v; eps enters s at every step, and sqrt(shat) as well.

    `rectify`: RAdam's factor r where its rho is at least 5, and mhat alone before (the authors' code).
    """

    name = "adabelief"

    def __init__(
        self, betas: Betas = (0.9, 0.999), eps: Eps = 1e-16, denominator: Denominator = "eps", rectify: bool = False
    ) -> None:
        super().__init__(betas, eps, denominator=denominator)
        self.rectify = rectify

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        scalars = super().scalars(hyper, step) | {"eps": float(hyper["eps"])}
        if not self.rectify:
            return scalars
        beta1, beta2 = (float(beta) for beta in hyper["betas"])
        bias1 = 1 - beta1**step
        tractable, r = rectification(beta2, step)
        if self.denominator == "softplus":  # whose value at 0 is log 2
            slope, key, value, plain = scalars["slope"], "after", scalars["after"] / r, bias1 / LOG2
        else:
            slope = bias1 / (r * root(1 - beta2**step))
            key, value, plain = "shift", scalars["eps"] * slope, bias1
        return scalars | {"slope": either(tractable, slope, 0.0), key: either(tractable, value, plain)}

    def second(self, bucket: Bucket, m: list[Tensor], v: list[Tensor], g: list[Tensor]) -> None:
        surprise = list(torch._foreach_sub(g, m))
        super().second(bucket, m, v, surprise)
        add_scalar_(v, bucket.scalar(self, "eps"))


def rectification(beta2: float, step: Step) -> tuple[bool | Tensor, Scalar]:
    """Whether the variance of the step is tractable, rho >= 5; RAdam's r_t where it is, 1 elsewhere.

    Liu et al. 2020, Algorithm 2.
    """
    power = beta2**step
    longest = 2 / (1 - beta2) - 1
    if longest <= 5:  # and rho is less
        return False, 1.0
    rho = longest - 2 * step * power / (1 - power)
    tractable = rho >= 5
    rho = either(tractable, rho, longest)
    return tractable, root((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))


class yogi(adam):
    """Adam with the v of `optim.Yogi`, from v_0 = `initial_accumulator`."""

    name = "yogi"

    def __init__(self, betas: Betas = (0.9, 0.999), eps: Eps = 1e-3, initial_accumulator: NotNegative = 1e-6) -> None:
        super().__init__(betas, eps)
        self.check_constants(initial_accumulator=initial_accumulator)
        self.initial = initial_accumulator

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"exp_avg": torch.zeros_like(param), "exp_avg_sq": torch.full_like(param, self.initial)}

    def second(self, bucket: Bucket, m: list[Tensor], v: list[Tensor], g: list[Tensor]) -> None:
        change = list(torch._foreach_mul(g, g))
        torch._foreach_sub_(change, v)
        torch._foreach_sign_(change)
        for _ in range(2):
            torch._foreach_mul_(change, g)
        add_(v, change, bucket.scalar(self, "new2"))


class adabound(adam):
    """Adam whose factor of m is clipped to the bounds of `optim.AdaBound`."""

    name = "adabound"
    ranges: ClassVar[Ranges] = {"lr": "(0, inf)"}

    def __init__(
        self, betas: Betas = (0.9, 0.999), eps: Eps = 1e-8, final_lr: Positive = 0.1, gamma: Positive = 1e-3
    ) -> None:
        super().__init__(betas, eps)
        self.hyper |= {"final_lr": final_lr, "gamma": gamma}

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        final, pace = float(hyper["final_lr"]) / hyper["lr_0"], float(hyper["gamma"]) * step
        bounds = {"low": final * (1 - 1 / (pace + 1)), "high": final * (1 + 1 / pace)}
        return super().scalars(hyper, step) | bounds

    def denominators(self, bias1: Scalar, bias2: Scalar, eps: float) -> Numbers:
        slope = bias1 / root(bias2)
        return {"slope": slope, "shift": eps * slope}

    def divide(self, bucket: Bucket, m: list[Tensor], v: list[Tensor]) -> list[Tensor]:
        rates = self.roots(bucket, v)
        torch._foreach_reciprocal_(rates)
        torch._foreach_clamp_min_(rates, bucket.scalar(self, "low"))
        torch._foreach_clamp_max_(rates, bucket.scalar(self, "high"))
        torch._foreach_mul_(rates, m)
        return rates
