"""Stages that go before or after any base, tensor by tensor: gradients centred and normalised, which tensors decay,
LAMB's rate, LookAhead.
"""

import operator
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from .base import Bucket, Numbers, Ranges, Scalar, Stage, Step
from .keywords import Count, Eps, In, Share
from .lists import at_once, either, norms, numbers, once, plus, scaled, sums


class centralize(Stage):
    """Gradient centralisation (Yong et al. 2020, Eq. 1): g <- g - mean of g over all dimensions but the first.

    Tensors of fewer than two dimensions are left alone, and so are those with one entry a slice, such as a 1x1
    depthwise kernel: centralised, their gradient would be zero for ever.
    """

    name = "centralize"

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        return [u if u.ndim < 2 or u.numel() == u.shape[0] else _centred(u, bucket) for u in updates]


def _centred(u: Tensor, bucket: Bucket) -> Tensor:
    return torch.sub(u, _slice_means(u), out=bucket.spare(u))


def _slice_means(u: Tensor) -> Tensor:
    return once(u.mean(dim=tuple(range(1, u.ndim)), keepdim=True))


class normalize(Stage):
    """SING's normalisation: g <- g / (||g||_2 + eps), the norm taken over each whole tensor."""

    name = "normalize"
    ranges: ClassVar[Ranges] = {"norm_eps": "[0, inf)"}

    def __init__(self, eps: Eps = 1e-8) -> None:
        super().__init__(norm_eps=eps)

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        lengths = sums(norms(updates), bucket.scalar(self, "norm_eps"))
        return scaled(bucket, updates, [once(factor) for factor in torch._foreach_reciprocal(lengths)])


class decay_matrices(Stage):
    """Decays tensors of two and more dimensions only, so neither biases nor the scales of normalisations."""

    name = "decay_matrices"

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        bucket.decay_scale = [float(p.ndim > 1) for p in bucket.params]
        return updates


class trust_ratio(Stage):
    """The rate of `optim.LAMB`, times 1 where ||w|| or ||u|| is 0.

    Decoupled (and absolute) decay is inside u, so Chain has none left to do.
    """

    name = "trust_ratio"

    def __init__(self, max_norm: Annotated[float, In("(0, inf]")] = 10.0) -> None:
        super().__init__()
        self.check_constants(max_norm=max_norm)
        self.max_norm = max_norm

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        return {"decay": decay_rate(hyper)}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        out = with_decay(bucket, updates, bucket.scalar(self, "decay"))
        ratios = at_once(self._ratio, norms(bucket.params), norms(out))
        bucket.rate_scale = numbers(operator.mul, bucket.rate_scale, ratios)
        return out

    def _ratio(self, w: Tensor, u: Tensor) -> Tensor:
        return once(torch.where((w > 0) & (u > 0), w.clamp(max=self.max_norm) / u, 1.0))


def decay_rate(hyper: Mapping[str, Any]) -> float:
    """The decay of a step of rate 1, where the update does it; coupled decay is in the gradient already."""
    scale = {"coupled": 0.0, "decoupled": 1.0, "absolute": 1 / hyper["lr_0"] if hyper["lr_0"] else 0.0}
    return float(hyper["weight_decay"]) * scale[hyper["decay"]]


def with_decay(bucket: Bucket, updates: list[Tensor], decays: list[Scalar]) -> list[Tensor]:
    """u + decay * w, by `decay_rate`; Chain then has no decay left to do."""
    scaled = numbers(operator.mul, decays, bucket.decay_scale)
    bucket.decay_scale = [0.0] * len(updates)
    return plus(bucket, updates, bucket.params, scaled)


class lookahead(Stage):
    """The average of `optim.LookAhead`, from the weights before the first step; moments are kept as they are."""

    name = "lookahead"
    traced = False

    def __init__(self, k: Count = 5, alpha: Share = 0.5) -> None:
        super().__init__(k=k, alpha=alpha)

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"slow": param.detach().clone()}

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        return {"pull": either(step % int(hyper["k"]) == 0, float(hyper["alpha"]), -1.0)}

    def after_step(self, bucket: Bucket, before: list[Tensor]) -> list[Tensor] | None:
        (slow,) = bucket.buffers(self, "slow")
        pulls = bucket.scalar(self, "pull")
        if all(isinstance(pull, float) and pull < 0 for pull in pulls):
            return None
        return [_merge(p, s, pull) for p, s, pull in zip(bucket.params, slow, pulls, strict=True)]


def _merge(fast: Tensor, slow: Tensor, pull: Scalar) -> Tensor:
    if isinstance(pull, Tensor):  # as it is where the step is captured
        slow.copy_(torch.where(pull < 0, slow, torch.lerp(slow, fast, pull)))
        return torch.where(pull < 0, fast, slow)
    return fast if pull < 0 else torch.lerp(slow, fast, pull, out=slow)
