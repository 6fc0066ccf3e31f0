"""Schedule-Free SGD and AdamW (Defazio et al. 2024). Each raises ValueError, one line, for a value out of range."""

import operator
from collections.abc import Mapping
from typing import Annotated, Any, Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages.base import Bucket, Numbers, Stage, Step
from .stages.keywords import Betas, Eps, In, NotNegative, Rate, WeightDecay
from .stages.lists import at_once, clip, numbers, products, quotients
from .stages.moments import adam
from .stages.plugins import decay_rate, with_decay

Interpolation = Annotated[float, In("(0, 1)"), "beta"]
Interpolations = Annotated[tuple[float, float], In("(0, 1) and [0, 1)"), "beta, and beta_2 of v"]
Warmup = Annotated[int, In("[0, inf)"), "steps of a linear warm-up"]
TimePower = Annotated[NotNegative, "power of t in the average's weights"]
RatePower = Annotated[NotNegative, "power of the largest rate in them"]


class ScheduleFreeSGD(Chain):
    """Schedule-Free SGD: z <- z - lr g(y), x <- (1 - c) x + c z, y = beta x + (1 - beta) z: no schedule is needed.

    c = w_t / (w_1 + ... + w_t), w_t = t^r (largest rate so far)^weight_lr_power. The weights are y while `train()`
    holds, as at first, and x after `eval()`: call that before evaluating or saving, and `train()` before the next step.

    References: Defazio et al. 2024 (arXiv 2405.15682), Eq. 3 to 5 and 23, and the authors' package.

        >>> optimizer = ScheduleFreeSGD(model.parameters(), lr=1.0, warmup_steps=100)
        >>> optimizer.eval()  # and optimizer.train() to go on
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Annotated[Rate, "gamma; larger than SGD's"] = 1.0,
        momentum: Interpolation = 0.9,
        weight_decay: Annotated[WeightDecay, "coefficient, of y"] = 0.0,
        warmup_steps: Warmup = 0,
        r: TimePower = 0.0,
        weight_lr_power: RatePower = 2.0,
        **options: Unpack[Options],
    ) -> None:
        stages = (schedule_free(momentum, warmup_steps, r, weight_lr_power),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class ScheduleFreeAdamW(Chain):
    """Schedule-Free AdamW: `ScheduleFreeSGD` with g / (sqrt(vhat) + eps) in the place of g, v Adam's second moment.

    References: Defazio et al. 2024 (arXiv 2405.15682), Algorithm 1, and the authors' package.

        >>> optimizer = ScheduleFreeAdamW(model.parameters(), lr=2.5e-3, warmup_steps=100)
        >>> optimizer.eval()  # and optimizer.train() to go on
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 2.5e-3,
        betas: Interpolations = (0.9, 0.999),
        eps: Eps = 1e-8,
        weight_decay: Annotated[WeightDecay, "coefficient, of y"] = 0.0,
        warmup_steps: Warmup = 0,
        r: TimePower = 0.0,
        weight_lr_power: RatePower = 2.0,
        **options: Unpack[Options],
    ) -> None:
        stages = (second_moment(betas, eps), schedule_free_betas(betas, warmup_steps, r, weight_lr_power))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class second_moment(adam):
    """Adam without momentum: g / (sqrt(vhat) + eps). beta_1 is not used."""

    name = "second_moment"
    zeros: tuple[str, ...] = ("exp_avg_sq",)

    def __init__(self, betas: Betas = (0.9, 0.999), eps: Eps = 1e-8) -> None:
        super().__init__(betas, eps)

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        return super().scalars({**hyper, "betas": (0.0, hyper["betas"][1])}, step)

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        (v,) = bucket.buffers(self, "exp_avg_sq")
        self.second(bucket, updates, v, updates)
        return quotients(updates, self.roots(bucket, v))


class schedule_free(Stage):
    """The averages of `ScheduleFreeSGD`, where the formula is, after any stages without momentum of their own."""

    name = "schedule_free"

    def __init__(
        self,
        momentum: Interpolation = 0.9,
        warmup_steps: Warmup = 0,
        r: TimePower = 0.0,
        weight_lr_power: RatePower = 2.0,
    ) -> None:
        numbers = {"warmup_steps": warmup_steps, "r": r, "weight_lr_power": weight_lr_power}
        super().__init__(momentum=momentum, **numbers, train_mode=True)

    def beta(self, hyper: Mapping[str, Any]) -> float:
        """How near y is to x, 1 being x."""
        return float(hyper["momentum"])

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"z": param.detach().clone(), "lr_max": param.new_zeros(()), "weight_sum": param.new_zeros(())}

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        warmup = clip(step / hyper["warmup_steps"], 0.0, 1.0) if hyper["warmup_steps"] else 1.0
        numbers = {"power": float(hyper["weight_lr_power"]), "age": step ** float(hyper["r"])}
        return numbers | {
            "warmup": warmup,
            "rate": hyper["lr"] * warmup,
            "beta": self.beta(hyper),
            "decay": decay_rate(hyper),
        }

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        if not bucket.options["train_mode"]:
            raise RuntimeError("the weights are those to evaluate: call optimizer.train() before optimizer.step()")
        warmups = bucket.scalar(self, "warmup")
        bucket.rate_scale = numbers(operator.mul, bucket.rate_scale, warmups)
        return with_decay(bucket, updates, bucket.scalar(self, "decay"))

    def retract(self, bucket: Bucket, steps: list[Tensor]) -> list[Tensor] | None:
        shares, betas = self._shares(bucket), bucket.scalar(self, "beta")
        (zs,) = bucket.buffers(self, "z")
        moved = list(torch._foreach_sub(zs, bucket.params))  # y + c (z - y) + (beta (1 - c) - 1) step
        torch._foreach_mul_(moved, shares)
        torch._foreach_add_(moved, bucket.params)
        torch._foreach_add_(moved, products(steps, numbers(lambda c, beta: beta * (1 - c) - 1, shares, betas)))
        torch._foreach_sub_(zs, steps)
        return moved

    def _shares(self, bucket: Bucket) -> list[Tensor]:
        """c, the share of the new z in x."""
        largest, sums = bucket.buffers(self, "lr_max", "weight_sum")
        torch._foreach_clamp_min_(largest, bucket.scalar(self, "rate"))
        weights = list(torch._foreach_pow(largest, bucket.scalar(self, "power")))
        torch._foreach_mul_(weights, bucket.scalar(self, "age"))
        torch._foreach_add_(sums, weights)
        return at_once(lambda weight, total: torch.where(total > 0, weight / total, 0.0), weights, sums)

    def switch(self, chain: Chain, training: bool) -> None:
        for group in chain.param_groups:
            share = 1 - self.beta(group) if training else 1 - 1 / self.beta(group)
            changed, group["train_mode"] = group["train_mode"] != training, training
            for p in group["params"] if changed else ():
                if p in chain.state:
                    z = chain.state[p][f"{self.name}.z"]
                    p.data.copy_(p.data.to(z.dtype).lerp(z, share))


class schedule_free_betas(schedule_free):
    """`schedule_free` whose beta is the first of `betas`."""

    def __init__(
        self,
        betas: Interpolations = (0.9, 0.999),
        warmup_steps: Warmup = 0,
        r: TimePower = 0.0,
        weight_lr_power: RatePower = 2.0,
    ) -> None:
        super().__init__(0.9, warmup_steps, r, weight_lr_power)
        del self.hyper["momentum"]
        self.hyper["betas"] = betas

    def beta(self, hyper: Mapping[str, Any]) -> float:
        return float(hyper["betas"][0])
