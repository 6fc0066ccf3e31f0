"""AdamP and SGDP (Heo et al. 2021, arXiv 2006.08217): the projection of an update away from the weight."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Unpack

import torch
from torch import Tensor
from torch.linalg import vecdot, vector_norm
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages.base import Bucket, Numbers, Scalar, Stage, Step
from .stages.keywords import Betas, Momentum, NotNegative, Positive, Rate, Share, WeightDecay
from .stages.lists import once, rows
from .stages.moments import Dampening, adam, heavy_ball

Threshold = Annotated[NotNegative, "threshold of the cosine"]
DecayRatio = Annotated[Share, "factor of the decay of projected tensors"]
Smallest = Annotated[Positive, "epsilon"]


class AdamP(Chain):
    """AdamP: Adam's p = mhat / (sqrt(vhat) + eps); w <- w - lr Pi_w(p) where w is found to be scale-invariant.

    It is where max_r |cos(w_r, g_r)| < delta / sqrt(n), over rows r of length n: the slices along the first dimension,
    or else (Appendix E.1) the whole tensor; g is the raw gradient. There the update loses its part along w_r. With the
    authors' bias correction, which Algorithm 2 leaves out, and their `wd_ratio`. `weight_decay` is scaled by lr as
    AdamW's: the paper's 1e-4 is 0.1 here at lr 1e-3, or `decay="absolute"`.

    References: Algorithm 2, Eq. 11 and 12. Raises ValueError for a value out of range.

        >>> optimizer = AdamP(model.parameters(), lr=1e-3, weight_decay=1e-2)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: Smallest = 1e-8,
        weight_decay: WeightDecay = 0.0,
        delta: Threshold = 0.1,
        wd_ratio: DecayRatio = 0.1,
        nesterov: Annotated[bool, "beta_1 m + (1 - beta_1) g in the place of m"] = False,
        **options: Unpack[Options],
    ) -> None:
        stages = (adam(betas, eps, nesterov), radial_projection(delta, wd_ratio, eps))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class SGDP(Chain):
    """SGDP: b <- mu b + (1 - dampening) g from b_0 = 0, w <- w - lr Pi_w(b), projected where `AdamP` is.

    The buffer stays unprojected, as printed; the authors' code projects it in place. Decay is decoupled:
    w <- w (1 - lr weight_decay / (1 - momentum)), times `wd_ratio` where projected (their code).

    References: Algorithm 1. Raises ValueError for a value out of range.

        >>> optimizer = SGDP(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-5)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 0.1,
        momentum: Momentum = 0.0,
        dampening: Dampening = 0.0,
        weight_decay: WeightDecay = 0.0,
        nesterov: Annotated[bool, "g + mu b in the place of b"] = False,
        eps: Smallest = 1e-8,
        delta: Threshold = 0.1,
        wd_ratio: DecayRatio = 0.1,
        **options: Unpack[Options],
    ) -> None:
        momenta = heavy_ball(momentum, dampening, nesterov, first="zero")
        stages = (momenta, radial_projection(delta, wd_ratio, eps, momentum_decay=True))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class radial_projection(Stage):
    """The projection of `AdamP`, for tensors of two and more dimensions, after any stages.

    `momentum_decay` divides decay by 1 - momentum, so that it keeps step with SGD's momentum (SGDP's authors).
    """

    name = "projection"

    def __init__(
        self,
        delta: Threshold = 0.1,
        wd_ratio: DecayRatio = 0.1,
        eps: Smallest = 1e-8,
        momentum_decay: bool = False,
    ) -> None:
        super().__init__(delta=delta, wd_ratio=wd_ratio, eps=eps)
        self.momentum_decay = momentum_decay

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"projected": param.new_zeros(())} if param.ndim > 1 else {}

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        gain = 1 / (1 - float(hyper["momentum"])) if self.momentum_decay else 1.0
        return super().scalars(hyper, step) | {"gain": gain}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        bucket.decay_scale = [s * g for s, g in zip(bucket.decay_scale, bucket.scalar(self, "gain"), strict=True)]
        return [self._one(bucket, i, u) if u.ndim > 1 else u for i, u in enumerate(updates)]

    def _one(self, bucket: Bucket, i: int, update: Tensor) -> Tensor:
        weight = bucket.params[i]
        delta, ratio, eps = (bucket.scalar(self, key)[i] for key in ("delta", "wd_ratio", "eps"))
        length, channel, layer = cosines(weight, bucket.grads[i], eps)
        by_channel = channel < delta / math.sqrt(weight[0].numel())
        by_layer = layer < delta / math.sqrt(weight.numel())
        along = vecdot(rows(update), rows(weight))
        by_row, whole = along / (length + eps) ** 2, along.sum() / (vector_norm(length) + eps) ** 2
        part = once(torch.where(by_channel, by_row, torch.where(by_layer, whole, 0.0)))
        projected = once((by_channel | by_layer).to(weight.dtype))
        bucket.states[i][f"{self.name}.projected"].copy_(projected)
        bucket.decay_scale[i] = bucket.decay_scale[i] * (1 - projected * (1 - ratio))
        parts = part.view(-1, *[1] * (update.ndim - 1))
        return torch.addcmul(update, parts, weight, value=-1, out=bucket.spare(update))

    def metrics(self, chain: Chain) -> dict[str, float]:
        """`projected_fraction`: of the tensors with two and more dimensions, how many the last step projected."""
        key = f"{self.name}.projected"
        flags = [float(state[key]) for state in chain.state.values() if key in state]
        return {"projected_fraction": sum(flags) / len(flags)} if flags else {}


def cosines(weight: Tensor, grad: Tensor, eps: Scalar) -> tuple[Tensor, Tensor, Tensor]:
    """The norm of each row of the weight; the largest |cos(row, its gradient)|; |cos| of the whole tensor (Eq. 11)."""
    w, g = rows(weight), rows(grad)
    length, steepness, product = vector_norm(w, dim=1), vector_norm(g, dim=1), vecdot(w, g)
    channel = product.abs() / (length.clamp(min=eps) * steepness.clamp(min=eps))
    layer = product.sum().abs() / (vector_norm(length).clamp(min=eps) * vector_norm(steepness).clamp(min=eps))
    return length, channel.max(), layer
