"""AdamP and SGDP (Heo et al. 2021, arXiv 2006.08217): the projection of an update away from the weight."""

import math
import operator
from collections.abc import Mapping
from typing import Annotated, Any, Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages.base import Bucket, Numbers, Scalar, Stage, Step
from .stages.keywords import Betas, Momentum, NotNegative, Positive, Rate, Share, WeightDecay
from .stages.lists import (
    at_once,
    copy_,
    dots,
    less_products,
    matrices,
    maxima,
    norms,
    numbers,
    once,
    row_norms,
    row_wise,
    sums,
)
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
        bucket.decay_scale = numbers(operator.mul, bucket.decay_scale, bucket.scalar(self, "gain"))
        found = [*updates]
        for places in matrices(updates):
            results = self._projected(bucket, places, [updates[i] for i in places])
            for i, result in zip(places, results, strict=True):
                found[i] = result
        return found

    def _projected(self, bucket: Bucket, places: list[int], updates: list[Tensor]) -> list[Tensor]:
        """The updates of the bucket's matrices at these places, all of as many dimensions."""
        weights, grads = ([tensors[i] for i in places] for tensors in (bucket.params, bucket.grads))
        w, g, u = ([row_wise(x) for x in tensors] for tensors in (weights, grads, updates))
        delta, ratio, eps = (bucket.scalar(self, key)[places[0]] for key in ("delta", "wd_ratio", "eps"))
        lengths, channel, layer = cosines(w, g, eps)
        by_channel = _below(channel, [delta / math.sqrt(x.shape[1:].numel()) for x in w])
        by_layer = _below(layer, [delta / math.sqrt(x.numel()) for x in w])
        self._keep(bucket, places, at_once(lambda a, b: once((a | b).to(w[0].dtype)), by_channel, by_layer), ratio)

        def part(dot: Tensor, length: Tensor) -> Tensor:
            share: Tensor = dot / (length + eps) ** 2
            return share

        along, column = dots(u, w), [-1] + [1] * (updates[0].ndim - 1)
        by_row = at_once(lambda dot, length: part(dot, length).view(column), along, lengths)
        whole = [dot.sum() for dot in along], norms(lengths)
        other = at_once(lambda yes, dot, length: torch.where(yes, part(dot, length), 0.0), by_layer, *whole)
        parts = [once(torch.where(*choice)) for choice in zip(by_channel, by_row, other, strict=True)]
        return less_products(bucket, updates, parts, weights)

    def _keep(self, bucket: Bucket, places: list[int], projected: list[Tensor], ratio: Scalar) -> None:
        """Note which matrices are projected, and have these decay less."""
        copy_([bucket.states[i][f"{self.name}.projected"] for i in places], projected)
        scales = [bucket.decay_scale[i] for i in places]
        for i, scale in zip(places, numbers(lambda s, p: s * (1 - p * (1 - ratio)), scales, projected), strict=True):
            bucket.decay_scale[i] = scale

    def metrics(self, chain: Chain) -> dict[str, float]:
        """`projected_fraction`: of the tensors with two and more dimensions, how many the last step projected."""
        key = f"{self.name}.projected"
        flags = [float(state[key]) for state in chain.state.values() if key in state]
        return {"projected_fraction": sum(flags) / len(flags)} if flags else {}


def cosines(weights: list[Tensor], grads: list[Tensor], eps: Scalar) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Of tensors with whole rows: these norms; the largest |cos(row, its gradient)|; |cos| of all (Eq. 11)."""
    lengths, steepness = ([row_norms(x) for x in xs] for xs in (weights, grads))
    products = dots(weights, grads)

    def cosine(product: Tensor, w: Tensor, g: Tensor) -> Tensor:
        return product.abs() / (w.clamp(min=eps) * g.clamp(min=eps))

    by_row = at_once(cosine, products, lengths, steepness)
    whole = at_once(cosine, [product.sum() for product in products], norms(lengths), norms(steepness))
    return lengths, maxima(by_row), whole


def _below(cosines: list[Tensor], bounds: list[Scalar]) -> list[Tensor]:
    """Whether cosine < bound, tensor by tensor."""
    return at_once(lambda above: above < 0, sums(cosines, [-bound for bound in bounds]))
