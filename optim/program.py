"""One step of a bucket: the stages in turn, then the decay and the move. The only place where weights are written."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optim.stages.base import Bucket, Hyper, Stage
from optim.stages.lists import add_, multiply_


class Chained(Hyper):
    """Owner of Chain's own numbers in a bucket: the rate, the decay of this step, and the L2 coefficient."""

    name = "chain"


CHAIN = Chained()


class Program:
    """The arithmetic of a chain, free of bookkeeping, so that it can be traced (see `optim.compiled`)."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)
        self.movers = tuple(stage for stage in stages if _defines(stage, "retract"))
        followers = [stage for stage in stages if _defines(stage, "after_step")]
        self.followers = tuple(stage for stage in followers if stage.traced)
        self.late_followers = tuple(stage for stage in followers if not stage.traced)
        self.remembers = any(stage.needs_before for stage in followers)

    def advance(self, bucket: Bucket) -> None:
        """Step the bucket, all but `late`."""
        updates = self._updates(bucket)
        before = [p.clone() for p in bucket.params] if self.remembers else []
        self._move(bucket, updates)
        self._follow(self.followers, bucket, before)

    def late(self, bucket: Bucket) -> None:
        """The after_step of stages that are never traced; they see no `before`."""
        self._follow(self.late_followers, bucket, [])

    def _updates(self, bucket: Bucket) -> list[Tensor]:
        updates = bucket.grads
        if bucket.options["decay"] == "coupled":
            updates = _added(updates, bucket.params, bucket.scalar(CHAIN, "l2"))
        for stage in self.stages:
            updates = stage.update(bucket, updates)
        return updates

    def _move(self, bucket: Bucket, updates: list[Tensor]) -> None:
        if bucket.options["decay"] not in ("none", "coupled"):
            decay = bucket.scalar(CHAIN, "decay")
            multiply_(bucket.params, [1 - d * scale for d, scale in zip(decay, bucket.decay_scale, strict=True)])
        rates = [lr * s for lr, s in zip(bucket.scalar(CHAIN, "lr"), bucket.rate_scale, strict=True)]
        for stage in self.movers:
            steps = [update * rate for update, rate in zip(updates, rates, strict=True)]
            moved = stage.retract(bucket, steps)
            if moved is not None:
                _write(bucket.params, moved)
                return
        add_(bucket.params, updates, [-rate for rate in rates])

    @staticmethod
    def _follow(stages: Sequence[Stage], bucket: Bucket, before: list[Tensor]) -> None:
        for stage in stages:
            moved = stage.after_step(bucket, before)
            if moved is not None:
                _write(bucket.params, moved)


def _defines(stage: Stage, method: str) -> bool:
    return getattr(type(stage), method) is not getattr(Stage, method)


def _added(xs: list[Tensor], ys: list[Tensor], scalars: list[float]) -> list[Tensor]:
    sums = list(torch._foreach_mul(ys, scalars))
    torch._foreach_add_(sums, xs)
    return sums


def _write(params: list[Tensor], values: list[Tensor]) -> None:
    for param, value in zip(params, values, strict=True):
        if value is not param:
            param.copy_(value)
