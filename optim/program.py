"""The arithmetic of a step, and the one place where weights are written.

Apart from the optimizer, so that it can be traced (`optim.compiled`).
"""

import operator
from collections.abc import Sequence

from torch import Tensor

from .stages.base import Bucket, Hyper, Stage
from .stages.lists import add_, copies, copy_, multiply_, numbers, products, scaled

CHAIN = Hyper()  # owner of Chain's own numbers in a bucket: the rate, the decay of this step, and the L2 coefficient
CHAIN.name = "chain"


class Program:
    """Runs the stages over a bucket, and writes its weights."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = stages
        self.prepare_stages = [stage for stage in stages if _defines(stage, "prepare")]
        self.retract_stages = [stage for stage in stages if _defines(stage, "retract")]
        self.after_step_stages = [stage for stage in stages if _defines(stage, "after_step")]
        self.needs_before = any(stage.needs_before for stage in self.after_step_stages)

    def advance(self, bucket: Bucket) -> None:
        """Step the bucket, all but the `after_step` of stages that are not traced."""
        updates = bucket.coupled()
        for stage in self.stages:
            updates = stage.update(bucket, updates)
        before = copies(bucket.params) if self.needs_before else []
        self._move(bucket, updates)
        self.after_step(bucket, before, traced=True)

    def _move(self, bucket: Bucket, updates: list[Tensor]) -> None:
        if bucket.options["decay"] not in ("none", "coupled"):
            decay = bucket.scalar(CHAIN, "decay")
            multiply_(bucket.params, numbers(lambda d, scale: 1 - d * scale, decay, bucket.decay_scale))
        rates = numbers(operator.mul, bucket.scalar(CHAIN, "lr"), bucket.rate_scale)
        for stage in self.retract_stages:
            steps = products(updates, rates)
            moved = stage.retract(bucket, steps)
            if moved is not None:
                return _write(bucket.params, moved)
        if not all(isinstance(rate, float) for rate in rates):
            updates, rates = scaled(bucket, updates, rates), [1.0] * len(updates)
        return add_(bucket.params, updates, [-rate for rate in rates])

    def after_step(self, bucket: Bucket, before: list[Tensor], *, traced: bool) -> None:
        """Run the `after_step` of the stages that are traced, or of those that are not."""
        for stage in self.after_step_stages:
            moved = stage.after_step(bucket, before) if stage.traced == traced else None
            if moved is not None:
                _write(bucket.params, moved)


def _defines(stage: Stage, method: str) -> bool:
    return getattr(type(stage), method) is not getattr(Stage, method)


def _write(params: list[Tensor], values: list[Tensor]) -> None:
    pairs = [(param, value) for param, value in zip(params, values, strict=True) if value is not param]
    if pairs:
        copy_(*map(list, zip(*pairs, strict=True)))
