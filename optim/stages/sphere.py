"""Stages for scale-invariant tensors: Adam's v of a whole group of entries, momentum carried along with the weight,
and one stage for these tensors beside another for the rest.

What the groups are is said by the param group's `invariance`: "channel" (each row of dim 0), "layer" (the tensor) or
"none" (each entry by itself), as it always is for a tensor of fewer than 2 dims. d is the number of entries of one.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from .base import Bucket, Numbers, Ranges, Stage, Step
from .keywords import Betas, Eps
from .lists import at_once, matrices, once, products
from .moments import adam

if TYPE_CHECKING:
    from ..chain import Chain

INVARIANCE = ("none", "channel", "layer")


def without_groups(chain: "Chain") -> str | None:
    """Words for a method that no param group's `invariance` lets do anything."""
    for group in chain.param_groups:
        if group["invariance"] != "none" and any(p.ndim > 1 for p in group["params"]):
            return None
    return (
        "no param group with weights has invariance 'channel' or 'layer', so it is the plain method that it extends; "
        "the keyword param_groups=model, or optim.param_groups(model), makes such groups"
    )


def inner(x: Tensor, y: Tensor, kind: str) -> Tensor:
    """Return <x, y> over each group: [O, 1, ..] for "channel", [1, 1, ..] for "layer", x * y for "none"."""
    return _summed(x * y, kind)


def inners(xs: list[Tensor], ys: list[Tensor], kind: str) -> list[Tensor]:
    """`inner`, tensor by tensor."""
    return [_summed(product, kind) for product in torch._foreach_mul(xs, ys)]


def _summed(product: Tensor, kind: str) -> Tensor:
    if kind == "none" or product.ndim < 2:
        return product
    return once(product.sum(tuple(range(1 if kind == "channel" else 0, product.ndim)), keepdim=True))


class group_adam(adam):
    """Adam with the v of `optim.AdamS`, one number a group."""

    ranges: ClassVar[Ranges] = {"invariance": INVARIANCE}

    def __init__(self, betas: Betas = (0.9, 0.999), eps: Eps = 1e-8) -> None:
        super().__init__(betas, eps)
        self.hyper |= {"invariance": "none"}

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return group_moments(param, options["invariance"])

    def switched_off(self, chain: "Chain") -> str | None:
        return without_groups(chain)

    def second(self, bucket: Bucket, m: list[Tensor], v: list[Tensor], g: list[Tensor]) -> None:
        kind, news = bucket.options["invariance"], bucket.scalar(self, "new2")
        torch._foreach_mul_(v, bucket.scalar(self, "beta2"))
        shares = [new * x.numel() / y.numel() for new, x, y in zip(news, v, g, strict=True)]
        torch._foreach_add_(v, products(inners(g, g, kind), shares))


def group_moments(param: Tensor, kind: str) -> dict[str, Tensor]:
    """Zeros for m, of the shape of the weight, and for v, of one number a group."""
    return {"exp_avg": torch.zeros_like(param), "exp_avg_sq": torch.zeros_like(inner(param, param, kind))}


class Wrapper(Stage):
    """A stage around one or two others that reads the group's `invariance`; its name is that of the last.

    So buffers are called as they are without it. The stages may share the names of numbers that mean the same.
    """

    ranges: ClassVar[Ranges] = {"invariance": INVARIANCE}

    def __init__(self, *stages: Stage) -> None:
        super().__init__(invariance="none")
        for stage in stages:
            self.hyper |= stage.hyper
        self.stages, self.name = stages, stages[-1].name

    def switched_off(self, chain: "Chain") -> str | None:
        return without_groups(chain)

    def check(self, group: Mapping[str, Any]) -> None:
        super().check(group)
        for stage in self.stages:
            stage.check(group)


class transported(Wrapper):
    """Rescaling and transport of momentum, as `optim.AdamSRT` has it, around a stage that owns the momentum.

    `first` and `second` name that stage's buffers m and v. Groups of single entries are left as they are.
    """

    needs_before = True

    def __init__(self, stage: Stage, first: str, second: str | None = None) -> None:
        super().__init__(stage)
        self.stage, self.names = stage, [first] if second is None else [first, second]

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return self.stage.init(param, options)

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        return self.stage.scalars(hyper, step)

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        return self.stage.update(bucket, updates)

    def after_step(self, bucket: Bucket, before: list[Tensor]) -> list[Tensor] | None:
        kind = bucket.options["invariance"]
        if kind == "none":
            return None
        for places in matrices(before):
            self._carry(bucket, places, [before[i] for i in places], kind)
        return None

    def _carry(self, bucket: Bucket, places: list[int], x: list[Tensor], kind: str) -> None:
        """Carry the momentum of the matrices at these places from x to where the weights are now."""
        new = [bucket.params[i] for i in places]
        squares = inners(new, new, kind)
        zero = at_once(lambda square: square == 0, squares)  # there the quotients are 0
        m, *v = ([buffers[i] for i in places] for buffers in bucket.buffers(self, *self.names))
        ahead, along = inners(new, x, kind), inners(new, m, kind)
        torch._foreach_mul_(m, ahead)
        torch._foreach_sub_(m, torch._foreach_mul(x, along))
        torch._foreach_div_(m, squares)
        for moment, nothing in zip(m, zero, strict=True):
            moment.masked_fill_(nothing, 0.0)
        for second in v:
            torch._foreach_mul_(second, at_once(_over, inners(x, x, kind), squares))


def _over(old: Tensor, square: Tensor) -> Tensor:
    return torch.where(square == 0, 0.0, old / square)


class by_invariance(Wrapper):
    """`spherical` where the param group's `invariance` is "channel" or "layer", `plain` elsewhere.

    Tensors of fewer than 2 dims are always `plain`, which keeps its buffers under the name of `spherical` too.
    """

    def __init__(self, plain: Stage, spherical: Stage) -> None:
        super().__init__(plain, spherical)
        self.plain, self.spherical = plain.named(spherical.name), spherical

    def is_spherical(self, param: Tensor, options: Mapping[str, Any]) -> bool:
        """Whether the tensor is `spherical`'s."""
        return options["invariance"] != "none" and param.ndim > 1

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return (self.spherical if self.is_spherical(param, options) else self.plain).init(param, options)

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        return self.plain.scalars(hyper, step) | self.spherical.scalars(hyper, step)

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        found = [*updates]
        for stage, at in self.shares(bucket):
            part = share(bucket, at)
            results = stage.update(part, [updates[i] for i in at])
            for i, result, decay, rate in zip(at, results, part.decay_scale, part.rate_scale, strict=True):
                found[i], bucket.decay_scale[i], bucket.rate_scale[i] = result, decay, rate
        return found

    def retract(self, bucket: Bucket, steps: list[Tensor]) -> list[Tensor] | None:
        moved = [p - step for p, step in zip(bucket.params, steps, strict=True)]
        for stage, at in self.shares(bucket):
            results = stage.retract(share(bucket, at), [steps[i] for i in at])
            for i, result in zip(at, results or [], strict=False):
                moved[i] = result
        return moved

    def shares(self, bucket: Bucket) -> list[tuple[Stage, list[int]]]:
        """Which entries of the bucket are plain's, and which spherical's; no stage without any."""
        on = [self.is_spherical(p, bucket.options) for p in bucket.params]
        both = (self.plain, False), (self.spherical, True)
        return [(stage, [i for i, yes in enumerate(on) if yes == wanted]) for stage, wanted in both if wanted in on]


def share(bucket: Bucket, at: list[int]) -> Bucket:
    """The entries `at` of a bucket."""
    params, grads = [bucket.params[i] for i in at], [bucket.grads[i] for i in at]
    return Bucket(params, grads, [bucket.states[i] for i in at], [bucket.scalars[i] for i in at], bucket.options)
