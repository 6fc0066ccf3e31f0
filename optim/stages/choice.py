"""One stage for scale-invariant weights and another for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from optim.stages.base import Bucket, Stage
from optim.stages.sphere import INVARIANCE


class by_invariance(Stage):
    """`spherical` where the param group's `invariance` is "channel" or "layer", `plain` elsewhere.

    Tensors of fewer than 2 dims are always `plain`. The two may share the names of numbers that mean the same.
    """

    def __init__(self, plain: Stage, spherical: Stage) -> None:
        super().__init__(**{"invariance": "none"} | plain.hyper | spherical.hyper)
        self.ranges = {**spherical.ranges, **plain.ranges, "invariance": INVARIANCE}  # type: ignore[misc]
        self.plain, self.spherical = plain, spherical
        self.name = plain.name = spherical.name

    def is_spherical(self, param: Tensor, options: Mapping[str, Any]) -> bool:
        return options["invariance"] != "none" and param.ndim > 1

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return (self.spherical if self.is_spherical(param, options) else self.plain).init(param, options)

    def scalars(self, hyper: Mapping[str, Any], step: int) -> dict[str, float]:
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
