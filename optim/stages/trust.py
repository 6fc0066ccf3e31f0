"""LAMB's layerwise rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optim.stages.base import Bucket, Scalar, Stage, check


class trust_ratio(Stage):
    """LAMB (You et al. 2020, Algorithm 2): u <- r + wd w, rate times phi(||w||) / ||u||, phi(z) = min(z, `max_norm`).

    The ratio is 1 where either norm is 0. Decoupled (and absolute) decay is inside u, so Chain has none left to do.
    """

    name = "trust_ratio"

    def __init__(self, max_norm: float = 10.0) -> None:
        super().__init__()
        check("max_norm", max_norm, "(0, inf]")
        self.max_norm = max_norm

    def scalars(self, hyper: Mapping[str, Any], step: int) -> dict[str, float]:
        scale = {"coupled": 0.0, "decoupled": 1.0, "absolute": 1 / hyper["lr_0"] if hyper["lr_0"] else 0.0}
        return {"decay": float(hyper["weight_decay"]) * scale[hyper["decay"]]}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        decays = zip(bucket.scalar(self, "decay"), bucket.decay_scale, strict=True)
        out = [_sum(u, p, d * s) for u, p, (d, s) in zip(updates, bucket.params, decays, strict=True)]
        ratios = [self._ratio(p, u) for p, u in zip(bucket.params, out, strict=True)]
        bucket.decay_scale = [0.0] * len(out)
        bucket.rate_scale = [r * ratio for r, ratio in zip(bucket.rate_scale, ratios, strict=True)]
        return out

    def _ratio(self, weight: Tensor, update: Tensor) -> Tensor:
        w, u = torch.linalg.vector_norm(weight), torch.linalg.vector_norm(update)
        return torch.where((w > 0) & (u > 0), w.clamp(max=self.max_norm) / u, torch.ones_like(w))


def _sum(u: Tensor, w: Tensor, decay: Scalar) -> Tensor:
    if isinstance(decay, Tensor):
        return u + w * decay
    return u.add(w, alpha=decay) if decay else u
