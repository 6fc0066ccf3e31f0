"""Adafactor's second moment."""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.linalg import vector_norm

from .base import Bucket, Numbers, Scalar, Stage, Step
from .keywords import In, NotNegative, Positive
from .lists import clip, norms, numbers, root
from .moments import SHARPNESS, Denominator, positive_softplus
from .sphere import share

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
        out = self._divided(bucket, updates, self._variances(bucket, updates))
        excess = torch._foreach_clamp_min(torch._foreach_div(rms(out), bucket.scalar(self, "d")), 1.0)
        torch._foreach_div_(out, excess)
        if self.scaled:
            sizes = list(torch._foreach_clamp_min(rms(bucket.params), bucket.scalar(self, "eps2")))
            scales = numbers(operator.mul, sizes, bucket.scalar(self, "cap"))
            bucket.rate_scale = numbers(operator.mul, bucket.rate_scale, scales)
        return out

    def _divided(self, bucket: Bucket, updates: list[Tensor], variances: list[Tensor]) -> list[Tensor]:
        if self.denominator == "eps":
            roots = list(torch._foreach_clamp_min(variances, [eps1 * eps1 for eps1 in bucket.scalar(self, "eps1")]))
            torch._foreach_rsqrt_(roots)
            return list(torch._foreach_mul(updates, roots))
        roots = list(torch._foreach_sqrt(variances))
        torch._foreach_mul_(roots, SHARPNESS)
        out = list(torch._foreach_div(updates, [positive_softplus(root) for root in roots]))
        torch._foreach_mul_(out, SHARPNESS)
        return out

    def _variances(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        """Vhat of each tensor, after its running means took the update in."""
        found = [*updates]
        for flat, form in ((True, self._by_entry), (False, self._by_rows)):
            places = [i for i, u in enumerate(updates) if (u.ndim < 2) is flat]
            variances = form(share(bucket, places), [updates[i] for i in places]) if places else []
            for i, variance in zip(places, variances, strict=True):
                found[i] = variance
        return found

    def _by_entry(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        (variances,) = bucket.buffers(self, "variance")
        _average_(variances, torch._foreach_mul(updates, updates), bucket.scalar(self, "new"))
        return variances

    def _by_rows(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        rows, columns = bucket.buffers(self, "rows", "columns")
        for means, dim in ((rows, -1), (columns, -2)):
            lengths = [vector_norm(u, dim=dim, keepdim=True) for u in updates]
            squares = torch._foreach_mul(lengths, lengths)
            squares = torch._foreach_div(squares, [float(u.shape[dim]) for u in updates])
            _average_(means, squares, bucket.scalar(self, "new"))
        whole = [x.mean(dim=-2, keepdim=True) for x in rows]
        whole = list(torch._foreach_clamp_min(whole, bucket.scalar(self, "eps1")))
        return list(torch._foreach_div(torch._foreach_mul(rows, columns), whole))


def _average_(means: list[Tensor], squares: Sequence[Tensor], shares: list[Scalar]) -> None:
    """mean += share * (square - mean), in place, tensor by tensor."""
    floats = [share for share in shares if isinstance(share, float)]
    if len(floats) == len(means):
        torch._foreach_lerp_(means, list(squares), floats)
    else:  # traced or captured
        for mean, square, share in zip(means, squares, shares, strict=True):
            mean.lerp_(square, share)


def rms(xs: list[Tensor]) -> list[Tensor]:
    """Root of the mean square of all entries, tensor by tensor: 0-d each."""
    return list(torch._foreach_div(norms(xs), [math.sqrt(x.numel()) for x in xs]))
