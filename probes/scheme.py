"""The rate that AdamSRT's Table 1 gives an optimizer, from the division vector b that its state holds."""

from __future__ import annotations

import torch
from torch import Tensor

from probes.probe import Watched
from probes.sphere import Sphere, filters


def division(watched: Watched, kind: str) -> Tensor | None:
    """Return d^-1/2 ||b|| of each filter after a step (Eq. 5 and 9), [O] or []; None where the state tells no b.

    SGD, with momentum or without: 1. Adam and its relatives, known by a buffer called `exp_avg_sq`, v:
    b = (1 - beta1^t) / (1 - beta1) * (sqrt(v / (1 - beta2^t)) + eps), so that b divides the plain sum
    a_k = sum_i beta1^(k-i) g_i. Approximate where the step divides by something else than this v: SING's softplus,
    AMSGrad's maximum, Adam-SRT's v, which is read after its transport.
    """
    second = watched.buffer("exp_avg_sq")
    if second is None:
        kept = {key.rpartition(".")[2] for key in watched.optimizer.state.get(watched.parameter, {})}
        return watched.parameter.new_ones(()) if kept <= {"step", "buffer", "momentum_buffer"} else None
    beta1, beta2 = watched.group["betas"]
    t = float(watched.buffer("step"))
    b = (second / (1 - beta2**t)).sqrt() + watched.group.get("eps", 0.0)
    rows = filters(b.expand_as(watched.parameter), kind) * (1 - beta1**t) / (1 - beta1)
    return rows.norm(dim=1) / rows.shape[1] ** 0.5


def table_rate(step: Sphere, lr: float, division: Tensor | None) -> Tensor:
    """Return eta^e = eta / (r nu) * (1 - A <c, u>)^-1 with nu = r d^-1/2 ||b|| (Table 1), [O]; nan without a b."""
    if division is None:
        return torch.full_like(step.radius, torch.nan)
    return lr / (step.radius**2 * division * (1 - step.radial))
