"""Adafactor's second moment."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

from .base import Bucket, Numbers, Stage, Step
from .keywords import In, NotNegative, Positive
from .lists import clip, root
from .moments import SHARPNESS, Denominator, positive_softplus

EPS = torch.finfo(torch.float32).eps
Beta2Decay = Annotated[float, In("(-inf, 0]"), "exponent of b2_t = 1 - t^beta2_decay"]
Smallest = Annotated[Positive, "epsilon_1, whose square bounds Vhat from below"]
LargestRms = Annotated[float, In("[1, inf)"), "bound of RMS(U)"]


class adafactor(Stage):
    """Adafactor (Shazeer and Stern 2018, Algorithms 4 and 5) in torch's form: update U / max(1, RMS(U) / d).

    U = g / sqrt(Vhat); Vhat is an outer product over the last two dimensions, of running means of g^2 with
    b2_t = 1 - t^beta2_decay, clamped from below by eps1^2 (torch: at the end, not within g^2). `denominator` puts
    softplus(sqrt(Vhat)) there instead. `scaled` (torch's) multiplies the rate by max(eps2, RMS(w)) and caps it at
    1 / sqrt(t); without, the rate is lr (SING, Appendix C.1: "Adaptive Step Size" disabled).
    """

    name = "adafactor"

    def __init__(
        self,
        beta2_decay: Beta2Decay = -0.8,
        eps1: Smallest = EPS,
        eps2: NotNegative = 1e-3,
        d: LargestRms = 1.0,
        denominator: Denominator = "eps",
        scaled: bool = True,
    ) -> None:
        super().__init__(beta2_decay=beta2_decay, eps1=eps1, eps2=eps2, d=d)
        self.check_constants(denominator=denominator)
        self.denominator, self.scaled = denominator, scaled

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        if param.ndim < 2:
            return {"variance": torch.zeros_like(param)}
        *outer, rows, columns = param.shape
        return {"rows": param.new_zeros((*outer, rows, 1)), "columns": param.new_zeros((*outer, 1, columns))}

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        cap = 1 / clip(hyper["lr"] * root(step), 1.0, math.inf)
        return super().scalars(hyper, step) | {"new": step ** float(hyper["beta2_decay"]), "cap": cap}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        numbers = zip(*(bucket.scalar(self, key) for key in ("new", "eps1", "d")), strict=True)
        out = [self._one(u, s, *n) for u, s, n in zip(updates, bucket.states, numbers, strict=True)]
        if self.scaled:
            factors = zip(bucket.scalar(self, "eps2"), bucket.scalar(self, "cap"), strict=True)
            scales = [rms(p).clamp(min=eps2) * cap for p, (eps2, cap) in zip(bucket.params, factors, strict=True)]
            bucket.rate_scale = [r * s for r, s in zip(bucket.rate_scale, scales, strict=True)]
        return out

    def _one(self, u: Tensor, state: dict[str, Tensor], new: Any, eps1: Any, d: Any) -> Tensor:
        variance = self._variance(u, state, new, eps1)
        if self.denominator == "softplus":
            out = u / positive_softplus(variance.sqrt() * SHARPNESS) * SHARPNESS
        else:
            out = u * variance.clamp(min=eps1 * eps1).rsqrt()
        clipped: Tensor = out / (rms(out) / d).clamp(min=1.0)
        return clipped

    def _variance(self, u: Tensor, state: dict[str, Tensor], new: Any, eps1: Any) -> Tensor:
        if u.ndim < 2:
            return state[f"{self.name}.variance"].lerp_(u * u, new)
        rows, columns = state[f"{self.name}.rows"], state[f"{self.name}.columns"]
        rows.lerp_(torch.linalg.vector_norm(u, dim=-1, keepdim=True).square() / u.shape[-1], new)
        columns.lerp_(torch.linalg.vector_norm(u, dim=-2, keepdim=True).square() / u.shape[-2], new)
        estimate: Tensor = rows * columns / rows.mean(dim=-2, keepdim=True).clamp(min=eps1)
        return estimate


def rms(x: Tensor) -> Tensor:
    """Root of the mean square of all entries, a 0-d tensor."""
    norm: Tensor = torch.linalg.vector_norm(x)
    return norm / math.sqrt(x.numel())
