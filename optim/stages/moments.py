"""Running averages of the gradient: momentum and Adam's pair."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from optim.stages.base import Bucket, Ranges, Stage
from optim.stages.lists import add_, add_product_


class momentum(Stage):
    """Heavy ball (torch.optim.SGD): b <- mu b + (1 - damping) g; the update is b, or g + mu b with Nesterov.

    `first="gradient"` starts at b_1 = g_1 as torch does, `first="zero"` at b_0 = 0, so b_1 = (1 - damping) g_1
    (SGDP, SGD-MRT).
    """

    name = "momentum"
    ranges: ClassVar[Ranges] = {"momentum": "[0, 1)", "dampening": "[0, 1]"}

    def __init__(
        self, momentum: float = 0.9, dampening: float = 0.0, nesterov: bool = False, first: str = "gradient"
    ) -> None:
        super().__init__(momentum=momentum, dampening=dampening, nesterov=nesterov)
        self.first = first

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"buffer": torch.zeros_like(param)}

    def scalars(self, hyper: Mapping[str, Any], step: int) -> dict[str, float]:
        whole = step == 1 and self.first == "gradient"
        mu = float(hyper["momentum"])
        return {"momentum": mu, "gain": 1.0 if whole else 1.0 - float(hyper["dampening"])}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        (buffer,) = bucket.buffers(self, "buffer")
        mu, gain = bucket.scalar(self, "momentum"), bucket.scalar(self, "gain")
        torch._foreach_mul_(buffer, mu)
        add_(buffer, updates, gain)
        if bucket.options["nesterov"]:
            return list(torch._foreach_add(torch._foreach_mul(buffer, mu), updates))
        return buffer


class adam(Stage):
    """Adam (Kingma and Ba 2015, Algorithm 1): m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, update mhat / D.

    D = sqrt(vhat) + eps, or SING's softplus(sqrt(vhat)) with sharpness `beta_softplus` and no eps (`denominator`).
    Nesterov puts b1 m + (1 - b1) g in the place of m (AdamP's authors).
    """

    name = "adam"
    ranges: ClassVar[Ranges] = {
        "betas": "[0, 1)",
        "eps": "[0, inf)",
        "denominator": ("eps", "softplus"),
        "beta_softplus": "(0, inf)",
    }

    def __init__(
        self,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        nesterov: bool = False,
        denominator: str = "eps",
        beta_softplus: float = 50.0,
    ) -> None:
        super().__init__(betas=betas, eps=eps, nesterov=nesterov, denominator=denominator, beta_softplus=beta_softplus)

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"exp_avg": torch.zeros_like(param), "exp_avg_sq": torch.zeros_like(param)}

    def scalars(self, hyper: Mapping[str, Any], step: int) -> dict[str, float]:
        return adam_scalars(hyper, step) | {"softplus": float(hyper["beta_softplus"])}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        m, v = bucket.buffers(self, "exp_avg", "exp_avg_sq")
        torch._foreach_lerp_(m, updates, bucket.scalar(self, "new1"))
        torch._foreach_mul_(v, bucket.scalar(self, "beta2"))
        add_product_(v, updates, updates, bucket.scalar(self, "new2"))
        ahead = m
        if bucket.options["nesterov"]:
            ahead = list(torch._foreach_lerp(m, updates, bucket.scalar(self, "new1")))
        return divide(self, bucket, ahead, v)


def adam_scalars(hyper: Mapping[str, Any], step: int) -> dict[str, float]:
    """The numbers of Adam's recursions and bias corrections at a step; needs `betas` and `eps`."""
    beta1, beta2 = (float(beta) for beta in hyper["betas"])
    bias1, bias2 = 1 - beta1**step, 1 - beta2**step
    return {
        "beta2": beta2,
        "new1": 1 - beta1,
        "new2": 1 - beta2,
        "root": 1 / math.sqrt(bias2),
        "bias1": bias1,
        "eps": float(hyper["eps"]),
    }


def divide(stage: Stage, bucket: Bucket, m: list[Tensor], v: list[Tensor]) -> list[Tensor]:
    """mhat / D for the first and second moments (see `adam`); the bias correction of m is folded into D."""
    root = list(torch._foreach_sqrt(v))
    torch._foreach_mul_(root, bucket.scalar(stage, "root"))
    if bucket.options["denominator"] == "softplus":
        root = [softplus_(d, beta) for d, beta in zip(root, bucket.scalar(stage, "softplus"), strict=True)]
    else:
        torch._foreach_add_(root, bucket.scalar(stage, "eps"))
    torch._foreach_mul_(root, bucket.scalar(stage, "bias1"))
    return list(torch._foreach_div(m, root))


def softplus_(x: Tensor, beta: float | Tensor) -> Tensor:
    """log(1 + exp(beta x)) / beta, as torch's: linear above beta x = 20. `beta` may be a 0-d tensor."""
    return softplus(x * beta) / beta
