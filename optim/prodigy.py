"""Prodigy (Mishchenko and Defazio 2023). Raises ValueError, one line, for a value out of range."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .rmsgd import whole
from .stages.base import Bucket, Numbers, Stage, Step
from .stages.keywords import Eps, In, NotNegative, Positive, WeightDecay
from .stages.lists import add_, add_product_, quotients

PositiveBetas = Annotated[tuple[float, float], In("[0, 1) and (0, 1)"), "beta_1 and beta_2"]
FirstDistance = Annotated[Positive, "first estimate"]
Coefficient = Annotated[Positive, "factor of dhat"]
Growth = Annotated[float, In("(1, inf]"), "largest factor by which d grows in a step"]
Correction = Annotated[bool, "c_t = sqrt(1 - b2^t) / (1 - b1^t), in the place of 1"]
Safeguard = Annotated[bool, "without lr c_t in s, for a long warm-up"]


class Prodigy(Chain):
    """Prodigy: AdamW with the rate lr d, d an estimate of the distance from the first weights to the solution.

    Over all tensors, b3 = sqrt(b2), c_t the bias correction or 1: r <- b3 r + d^2 lr c_t <g, w_0 - w> / d_0,
    s <- b3 s + d^2 lr c_t g / d_0, dhat = d_coef r / ||s||_1, and d is the largest dhat so far, d_0 at least; then
    m <- b1 m + (1 - b1) d g, v <- b2 v + (1 - b2) d^2 g^2, w <- w - lr d c_t m / (sqrt(v) + d eps).

    References: Mishchenko and Defazio 2023 (arXiv 2306.06101), Algorithm 4, and the authors' code. The state of all
    tensors is read once a step, which waits for a GPU.

        >>> optimizer = Prodigy(model.parameters(), weight_decay=0.01)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Annotated[NotNegative, "factor of the rate; leave it at 1, under a schedule"] = 1.0,
        betas: PositiveBetas = (0.9, 0.999),
        eps: Eps = 1e-8,
        weight_decay: Annotated[WeightDecay, "decoupled coefficient, of the rate lr d"] = 0.0,
        d0: FirstDistance = 1e-6,
        d_coef: Coefficient = 1.0,
        growth_rate: Growth = math.inf,
        bias_correction: Correction = False,
        safeguard_warmup: Safeguard = False,
        **options: Unpack[Options],
    ) -> None:
        stage = prodigy(betas, eps, d0, d_coef, growth_rate, bias_correction, safeguard_warmup)
        super().__init__(params, (stage,), lr=lr, weight_decay=weight_decay, **options)


class prodigy(Stage):
    """The update of `Prodigy`; what it estimates is in the param groups: `d`, `d_max`, `d_numerator`."""

    name = "prodigy"
    uncapturable = "its distance is a float of the param groups, saved with them: one read a step, for all tensors"

    def __init__(
        self,
        betas: PositiveBetas = (0.9, 0.999),
        eps: Eps = 1e-8,
        d0: FirstDistance = 1e-6,
        d_coef: Coefficient = 1.0,
        growth_rate: Growth = math.inf,
        bias_correction: Correction = False,
        safeguard_warmup: Safeguard = False,
    ) -> None:
        found = {"d": d0, "d_max": d0, "d_numerator": 0.0}
        super().__init__(betas=betas, eps=eps, d0=d0, d_coef=d_coef, growth_rate=growth_rate, **found)
        self.bias_correction, self.safeguard_warmup = bias_correction, safeguard_warmup

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        zeros = {name: torch.zeros_like(param) for name in ("exp_avg", "exp_avg_sq", "s")}
        return {**zeros, "first": param.detach().clone()}

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        d, (beta1, beta2) = float(hyper["d"]), (float(beta) for beta in hyper["betas"])
        correction = math.sqrt(1 - beta2**step) / (1 - beta1**step) if self.bias_correction else 1.0
        decay = 1.0 if hyper["decay"] == "absolute" else d * correction
        rates = {"rate": d * correction, "decay": decay, "dlr": d * correction * float(hyper["lr"])}
        news = {"beta1": beta1, "beta2": beta2, "new1": d * (1 - beta1), "new2": d * d * (1 - beta2)}
        return {**rates, **news, "eps": float(hyper["eps"])}

    def prepare(self, chain: Chain, buckets: Sequence[Bucket]) -> None:
        """Move d by the gradients of all tensors."""
        if not buckets:
            return
        group = chain.param_groups[0]
        d, start = float(group["d"]), float(group["d0"])
        device = buckets[0].params[0].device
        gained, size = torch.stack([self._correlate(b, d / start, d).to(device) for b in buckets]).sum(0).tolist()
        numerator = math.sqrt(float(group["betas"][1])) * float(group["d_numerator"]) + gained
        found = {"d_numerator": numerator}
        if size > 0:
            guess = float(group["d_coef"]) * numerator / size
            d = max(d, guess) if d == start else d
            found["d_max"] = max(float(group["d_max"]), guess)
            found["d"] = min(found["d_max"], d * float(group["growth_rate"]))
        for each in chain.param_groups:
            each |= found
        for scalars in (scalars for bucket in buckets for scalars in bucket.scalars):
            scalars[f"{self.name}.shift"] = float(group["d"]) * float(scalars[f"{self.name}.eps"])

    def _correlate(self, bucket: Bucket, unit: float, d: float) -> Tensor:
        """Take the gradients into s; return what they add to the numerator, and the size of s."""
        sums, firsts = bucket.buffers(self, "s", "first")
        grads, rates = bucket.coupled(), bucket.scalar(self, "dlr")
        torch._foreach_mul_(sums, [math.sqrt(beta) for beta in bucket.scalar(self, "beta2")])
        add_(sums, grads, [unit * (d if self.safeguard_warmup else rate) for rate in rates])
        entries = zip(grads, firsts, bucket.params, rates, strict=True)
        gained = [whole(((first - p) * g).sum()).double() * (unit * rate) for g, first, p, rate in entries]
        sizes = [whole(s.abs().sum()).double() for s in sums]
        return torch.stack([torch.stack(gained).sum(), torch.stack(sizes).sum()])

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        m, v = bucket.buffers(self, "exp_avg", "exp_avg_sq")
        torch._foreach_mul_(m, bucket.scalar(self, "beta1"))
        add_(m, updates, bucket.scalar(self, "new1"))
        torch._foreach_mul_(v, bucket.scalar(self, "beta2"))
        add_product_(v, updates, updates, bucket.scalar(self, "new2"))
        for scales, key in ((bucket.rate_scale, "rate"), (bucket.decay_scale, "decay")):
            scales[:] = [scale * number for scale, number in zip(scales, bucket.scalar(self, key), strict=True)]
        roots = [x.sqrt() + shift for x, shift in zip(v, bucket.scalar(self, "shift"), strict=True)]
        return quotients(m, roots)

    def metrics(self, chain: Chain) -> dict[str, float]:
        """`d`: the estimated distance."""
        return {"d": float(chain.param_groups[0]["d"])}
