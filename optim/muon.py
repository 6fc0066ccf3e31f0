"""Muon (Jordan et al. 2024), AdamW for what is no matrix. Raises ValueError, one line, for a value out of range."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages.base import Bucket, Numbers, Stage, Step
from .stages.keywords import Betas, In, Momentum, NotNegative, Positive, Rate, WeightDecay
from .stages.lists import blend_
from .stages.moments import adam
from .stages.sphere import by_invariance

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
DTYPES = {"bfloat16": torch.bfloat16, "weights": None}
SCALES: dict[str, Callable[[int, int], float]] = {
    "original": lambda rows, columns: math.sqrt(max(1.0, rows / columns)),
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
    "spectral_unclamped": lambda rows, columns: math.sqrt(rows / columns),
    "none": lambda rows, columns: 1.0,
}

Nesterov = Annotated[bool, "with mu b + (1 - mu) g in the place of b"]
Coefficients = Annotated[tuple[float, float, float], In("(-inf, inf) and (-inf, inf) and (-inf, inf)"), "a, b, c"]
Steps = Annotated[int, In("[1, 100)"), "iterations"]
Smallest = Annotated[Positive, "bound of ||X|| from below"]
AdjustLr = Annotated[str, In(tuple(SCALES)), "what s is"]
NsDtype = Annotated[str, In(tuple(DTYPES)), '"bfloat16", as the authors and torch, or "weights": that of the weights']
AdamLr = Annotated[NotNegative, "AdamW's rate; a schedule of lr scales it alike"]
AdamEps = Annotated[NotNegative, "of AdamW"]


class Muon(Chain):
    """Muon: w <- w - lr s NS(g + mu b), b <- mu b + (1 - mu) g, for tensors of 2 and more dims; AdamW for the rest.

    NS orthogonalises: `ns_steps` times X <- a X + (b A + c A^2) X with A = X X^T, from X / ||X||; a convolution is
    flattened to [out, in * h * w]. A param group with `orthogonal: False` (embedding, head) gets AdamW too. s is by
    `adjust_lr`: "original", sqrt(max(1, rows / columns)); "match_rms_adamw", 0.2 sqrt(max(rows, columns));
    "spectral_unclamped", sqrt(rows / columns); "none", 1.

    References: Jordan et al.: Muon, 2024, and the authors' code; Liu et al. 2025 (arXiv 2502.16982), Eq. 4, for
    "match_rms_adamw". Equal to torch.optim.Muon on matrices (its lr and weight_decay are 1e-3 and 0.1).

        >>> optimizer = Muon(model.parameters(), lr=0.02, weight_decay=0.01)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Annotated[Rate, "of the matrices"] = 0.02,
        weight_decay: WeightDecay = 0.0,
        momentum: Momentum = 0.95,
        nesterov: Nesterov = True,
        ns_coefficients: Coefficients = COEFFICIENTS,
        ns_steps: Steps = 5,
        eps: Smallest = 1e-7,
        adjust_lr: AdjustLr = "original",
        ns_dtype: NsDtype = "bfloat16",
        adam_lr: AdamLr = 3e-4,
        betas: Annotated[Betas, "of AdamW"] = (0.9, 0.95),
        adam_eps: AdamEps = 1e-10,
        **options: Unpack[Options],
    ) -> None:
        numbers = (momentum, nesterov, ns_coefficients, ns_steps, eps, adjust_lr, ns_dtype)
        stages = (muon(*numbers, adam_lr, betas, adam_eps),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class orthogonal_momentum(Stage):
    """The update of `Muon` for tensors of 2 and more dims; others are left alone."""

    name = "muon"
    zeros = ("buffer",)

    def __init__(
        self,
        momentum: Momentum = 0.95,
        nesterov: Nesterov = True,
        ns_coefficients: Coefficients = COEFFICIENTS,
        ns_steps: Steps = 5,
        eps: Smallest = 1e-7,
        adjust_lr: AdjustLr = "original",
        ns_dtype: NsDtype = "bfloat16",
    ) -> None:
        super().__init__(momentum=momentum, nesterov=nesterov)
        self.check_constants(ns_coefficients=ns_coefficients, ns_steps=ns_steps, eps=eps)
        self.check_constants(adjust_lr=adjust_lr, ns_dtype=ns_dtype)
        self.coefficients, self.steps, self.eps = ns_coefficients, ns_steps, eps
        self.adjust_lr, self.dtype = adjust_lr, DTYPES[ns_dtype]

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        return {"momentum": float(hyper["momentum"]), "new": 1 - float(hyper["momentum"])}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        (buffer,) = bucket.buffers(self, "buffer")
        blend_(buffer, updates, bucket.scalar(self, "new"))
        mixed = buffer
        if bucket.options["nesterov"]:
            mixed = [u.clone() for u in updates]
            blend_(mixed, buffer, bucket.scalar(self, "momentum"))
        return [self._orthogonal(u) if u.ndim > 1 else u for u in mixed]

    def _orthogonal(self, u: Tensor) -> Tensor:
        """u flattened to a matrix, with singular values near 1, times s."""
        x = u.reshape(u.shape[0], -1)
        rows, columns = x.shape
        x = x.to(self.dtype or x.dtype)
        x = x.mT if rows > columns else x
        norm: Tensor = torch.linalg.vector_norm(x)
        x = x / norm.clamp(min=self.eps)
        a, b, c = self.coefficients
        for _ in range(self.steps):
            gram = x @ x.mT
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        x = x.mT if rows > columns else x
        return x.to(u.dtype).reshape(u.shape) * SCALES[self.adjust_lr](rows, columns)


class own_rate_adam(adam):
    """Adam whose rate is adam_lr at the group's first lr, and is scaled as that is."""

    name = "own_rate_adam"

    def __init__(self, adam_lr: AdamLr = 3e-4, betas: Betas = (0.9, 0.95), adam_eps: AdamEps = 1e-10) -> None:
        super().__init__(betas)
        self.hyper = {"adam_lr": adam_lr, "betas": betas, "adam_eps": adam_eps}

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        ratio = float(hyper["adam_lr"]) / hyper["lr_0"] if hyper["lr_0"] else 0.0
        decay = 1.0 if hyper["decay"] == "absolute" else ratio
        numbers = super().scalars({**hyper, "eps": hyper["adam_eps"]}, step)
        return numbers | {"ratio": ratio, "decay_ratio": decay}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        ratios, decays = bucket.scalar(self, "ratio"), bucket.scalar(self, "decay_ratio")
        bucket.rate_scale = [scale * ratio for scale, ratio in zip(bucket.rate_scale, ratios, strict=True)]
        bucket.decay_scale = [scale * ratio for scale, ratio in zip(bucket.decay_scale, decays, strict=True)]
        m, v = bucket.buffers(self, "exp_avg", "exp_avg_sq")
        blend_(m, updates, bucket.scalar(self, "new1"))
        self.second(bucket, m, v, updates)
        return self.divide(bucket, m, v)


class muon(by_invariance):
    """`orthogonal_momentum` for tensors of 2 and more dims in groups that are `orthogonal`, AdamW for the rest."""

    name = "muon"

    def __init__(
        self,
        momentum: Momentum = 0.95,
        nesterov: Nesterov = True,
        ns_coefficients: Coefficients = COEFFICIENTS,
        ns_steps: Steps = 5,
        eps: Smallest = 1e-7,
        adjust_lr: AdjustLr = "original",
        ns_dtype: NsDtype = "bfloat16",
        adam_lr: AdamLr = 3e-4,
        betas: Betas = (0.9, 0.95),
        adam_eps: AdamEps = 1e-10,
    ) -> None:
        matrices = orthogonal_momentum(momentum, nesterov, ns_coefficients, ns_steps, eps, adjust_lr, ns_dtype)
        super().__init__(own_rate_adam(adam_lr, betas, adam_eps), matrices)
        self.hyper |= {"orthogonal": True}

    def switched_off(self, chain: Chain) -> str | None:
        return None  # a tensor's shape says whose it is

    def is_spherical(self, param: Tensor, options: Mapping[str, Any]) -> bool:
        return bool(options["orthogonal"]) and param.ndim > 1
