"""AdamP's projection of an update away from the weight."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.linalg import vecdot, vector_norm

from optim.stages.base import Bucket, Ranges, Scalar, Stage

if TYPE_CHECKING:
    from optim.chain import Chain


class radial_projection(Stage):
    """AdamP's projection (Heo et al. 2021, Eq. 11 and 12), for tensors of two and more dimensions.

    A tensor is taken as scale-invariant where max_r |cos(w_r, g_r)| < delta / sqrt(n), over rows r of length n: its
    slices along the first dimension, or else the whole tensor; g is the raw gradient. There the update loses its part
    along w_r, and decay is multiplied by wd_ratio. `momentum_decay` divides decay by 1 - momentum, so that it keeps
    step with SGD's momentum (SGDP's authors).
    """

    name = "projection"
    ranges: ClassVar[Ranges] = {"delta": "[0, inf)", "wd_ratio": "[0, 1]", "eps": "(0, inf)"}

    def __init__(
        self, delta: float = 0.1, wd_ratio: float = 0.1, eps: float = 1e-8, momentum_decay: bool = False
    ) -> None:
        super().__init__(delta=delta, wd_ratio=wd_ratio, eps=eps)
        self.momentum_decay = momentum_decay

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"projected": param.new_zeros(())} if param.ndim > 1 else {}

    def scalars(self, hyper: Mapping[str, Any], step: int) -> dict[str, float]:
        gain = 1 / (1 - float(hyper["momentum"])) if self.momentum_decay else 1.0
        return super().scalars(hyper, step) | {"gain": gain}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        bucket.decay_scale = [s * g for s, g in zip(bucket.decay_scale, bucket.scalar(self, "gain"), strict=True)]
        return [self._one(bucket, i, u) if u.ndim > 1 else u for i, u in enumerate(updates)]

    def _one(self, bucket: Bucket, i: int, update: Tensor) -> Tensor:
        weight = bucket.params[i]
        delta, ratio, eps = (bucket.scalar(self, key)[i] for key in ("delta", "wd_ratio", "eps"))
        length, channel, layer = _cosines(weight, bucket.grads[i], eps)
        by_channel = channel < delta / math.sqrt(weight[0].numel())
        by_layer = layer < delta / math.sqrt(weight.numel())
        along = vecdot(_rows(update), _rows(weight))
        by_row, whole = along / (length + eps) ** 2, along.sum() / (vector_norm(length) + eps) ** 2
        part = torch.where(by_channel, by_row, torch.where(by_layer, whole, 0.0))
        projected = (by_channel | by_layer).to(weight.dtype)
        bucket.states[i][f"{self.name}.projected"].copy_(projected)
        bucket.decay_scale[i] = bucket.decay_scale[i] * (1 - projected * (1 - ratio))
        return torch.addcmul(update, part.view(-1, *[1] * (update.ndim - 1)), weight, value=-1)

    def metrics(self, chain: Chain) -> dict[str, float]:
        """`projected_fraction`: of the tensors with two and more dimensions, how many the last step projected."""
        key = f"{self.name}.projected"
        flags = [float(state[key]) for state in chain.state.values() if key in state]
        return {"projected_fraction": sum(flags) / len(flags)} if flags else {}


def _rows(x: Tensor) -> Tensor:
    return x.reshape(x.shape[0], -1)


def _cosines(weight: Tensor, grad: Tensor, eps: Scalar) -> tuple[Tensor, Tensor, Tensor]:
    """The norm of each row of the weight; the largest |cos(row, its gradient)|; |cos| of the whole tensor."""
    w, g = _rows(weight), _rows(grad)
    length, steepness, product = vector_norm(w, dim=1), vector_norm(g, dim=1), vecdot(w, g)
    channel = product.abs() / (length.clamp(min=eps) * steepness.clamp(min=eps))
    layer = product.sum().abs() / (vector_norm(length).clamp(min=eps) * vector_norm(steepness).clamp(min=eps))
    return length, channel.max(), layer
