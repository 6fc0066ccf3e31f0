"""What is done to a gradient before any moment sees it, and which tensors decay."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from optim.stages.base import Bucket, Ranges, Stage
from optim.stages.lists import norms, sums


class centralize(Stage):
    """Gradient centralisation (Yong et al. 2020, Eq. 1): g <- g - mean of g over all dimensions but the first.

    Tensors of fewer than `min_ndim` dimensions are left alone, and so are those with one entry a slice, such
    as a 1x1 depthwise kernel: centralised, their gradient would be zero for ever.
    """

    name = "centralize"

    def __init__(self, min_ndim: int = 2) -> None:
        super().__init__()
        self.min_ndim = min_ndim

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        return [self._centre(u) for u in updates]

    def _centre(self, u: Tensor) -> Tensor:
        if u.ndim < max(self.min_ndim, 2) or u.numel() == u.shape[0]:
            return u
        return u - _slice_means(u)


def _slice_means(u: Tensor) -> Tensor:
    if not torch.compiler.is_compiling():
        return u.mean(dim=tuple(range(1, u.ndim)), keepdim=True)
    # A product, since Inductor for CPUs (torch 2.15) fails on Adam over a fused mean: KeyError in outer loop fusion. Of
    # two columns, since it would turn a product of one into that mean.
    rows = u.reshape(u.shape[0], -1)
    means = rows @ rows.new_full((rows.shape[1], 2), 1 / rows.shape[1])
    return means[:, 0].view(-1, *[1] * (u.ndim - 1))


class normalize(Stage):
    """SING's normalisation: g <- g / (||g||_2 + eps), the norm taken over each whole tensor."""

    name = "normalize"
    ranges: ClassVar[Ranges] = {"norm_eps": "[0, inf)"}

    def __init__(self, eps: float = 1e-8) -> None:
        super().__init__(norm_eps=eps)

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        lengths = sums(norms(updates), bucket.scalar(self, "norm_eps"))
        return list(torch._foreach_mul(updates, torch._foreach_reciprocal(lengths)))


class decay_matrices(Stage):
    """Decays tensors of two and more dimensions only, so neither biases nor the scales of normalisations."""

    name = "decay_matrices"

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        bucket.decay_scale = [float(p.ndim > 1) for p in bucket.params]
        return updates
