"""LookAhead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from optim.stages.base import Bucket, Ranges, Stage


class lookahead(Stage):
    """LookAhead (Zhang et al. 2019, Algorithm 1): every `k` steps w <- slow + alpha (w - slow), slow <- w.

    The slow weights start at the weights from before the tensor's first step. Moments are kept as they are.
    """

    name = "lookahead"
    ranges: ClassVar[Ranges] = {"k": "[1, inf)", "alpha": "[0, 1]"}
    traced = False

    def __init__(self, k: int = 5, alpha: float = 0.5) -> None:
        super().__init__(k=k, alpha=alpha)

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"slow": param.detach().clone()}

    def scalars(self, hyper: Mapping[str, Any], step: int) -> dict[str, float]:
        return {"pull": float(hyper["alpha"]) if step % int(hyper["k"]) == 0 else -1.0}

    def after_step(self, bucket: Bucket, before: list[Tensor]) -> list[Tensor] | None:
        (slow,) = bucket.buffers(self, "slow")
        pulls = bucket.scalar(self, "pull")
        if all(pull < 0 for pull in pulls):
            return None
        return [self._merge(p, s, pull) for p, s, pull in zip(bucket.params, slow, pulls, strict=True)]

    @staticmethod
    def _merge(fast: Tensor, slow: Tensor, pull: float) -> Tensor:
        return fast if pull < 0 else torch.lerp(slow, fast, pull, out=slow)
