"""SLS's line search: an evaluation that finds the step, and the stage that takes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, distributed

from optim.stages.base import Bucket, Closure, Evaluation, Ranges, Stage, check

if TYPE_CHECKING:
    from optim.chain import Chain

TRIALS = 100
LAST_RESORT = 1e-6  # the step where no trial is accepted


class line_search(Evaluation):
    """Stochastic line search (Vaswani et al. 2019; the authors' code), over all tensors together.

    A step eta is accepted if f(w - eta g) <= f(w) - c eta ||g||^2 (Armijo); else eta <- beta_b eta, up to 100 times,
    then 1e-6. "goldstein" also asks f(w - eta g) >= f(w) - (1 - c) eta ||g||^2; else eta <- min(beta_f eta, eta_max).
    It begins at the last step found, by `reset` "increase" times gamma^(1 / n_batches_per_epoch), by "keep" as it is,
    by "initial" at lr. Where ||g|| < 1e-8 nothing moves; a loss or gradient that is not finite is followed unsearched.

    The step is held in units of lr, so that a schedule scales it: `scale` is what the search goes on from, `applied`
    what is taken now. f is the closure's loss without backward, averaged over ranks, as DDP averages g.
    """

    name = "sls"
    needs_closure = True
    ranges: ClassVar[Ranges] = {
        "c": "(0, 1)",
        "beta_b": "(0, 1)",
        "beta_f": "(1, inf)",
        "gamma": "[1, inf)",
        "n_batches_per_epoch": "[1, inf)",
        "eta_max": "(0, inf)",
        "lr": "(0, inf)",
    }

    def __init__(
        self,
        c: float = 0.1,
        beta_b: float = 0.9,
        gamma: float = 2.0,
        n_batches_per_epoch: int = 500,
        reset: str = "increase",
        rule: str = "armijo",
        beta_f: float = 2.0,
        eta_max: float = 10.0,
    ) -> None:
        numbers = {"c": c, "beta_b": beta_b, "gamma": gamma, "n_batches_per_epoch": n_batches_per_epoch}
        super().__init__(**numbers, beta_f=beta_f, eta_max=eta_max, scale=1.0, applied=1.0)
        check("reset", reset, ("increase", "keep", "initial"))
        check("rule", rule, ("armijo", "goldstein"))
        self.reset, self.rule = reset, rule

    def gradients(self, chain: Chain, closure: Closure) -> Any:
        with torch.enable_grad():
            loss = closure()
        lines = [(p, p.clone(), p.grad) for g in chain.param_groups for p in g["params"] if p.grad is not None]
        squares = sum(float(gradient.double().square().sum()) for _, _, gradient in lines)
        first, sign = chain.param_groups[0], -1.0 if chain.param_groups[0]["maximize"] else 1.0

        def objective(eta: float) -> float:
            for p, value, gradient in lines:
                p.copy_(value - sign * eta * gradient)
            return sign * average(closure())

        try:
            scale, applied = self.search(first, sign * average(loss), squares, objective)
        finally:
            for p, value, _ in lines:
                p.copy_(value)
        for group in chain.param_groups:
            group["scale"], group["applied"] = scale, applied
        return loss

    def search(self, group: Mapping[str, Any], start: float, squares: float, objective: Any) -> tuple[float, float]:
        """The step to go on from and the step to take, in units of lr."""
        lr, last = float(group["lr"]), float(group["scale"])
        if math.sqrt(squares) < 1e-8:
            return last, 0.0
        if lr == 0 or not (math.isfinite(start) and math.isfinite(squares)):
            return last, last
        grown = last * float(group["gamma"]) ** (1 / float(group["n_batches_per_epoch"]))
        eta = lr * {"increase": grown, "keep": last, "initial": 1.0}[self.reset]
        c = float(group["c"])
        for _ in range(TRIALS):
            value = objective(eta)
            if not value <= start - c * eta * squares:
                eta *= float(group["beta_b"])
            elif self.rule == "goldstein" and value < start - (1 - c) * eta * squares:
                eta = min(eta * float(group["beta_f"]), float(group["eta_max"]))
            else:
                return eta / lr, eta / lr
        return eta / lr, LAST_RESORT / lr


class found_step(Stage):
    """Takes the step that `line_search` found."""

    name = "found"

    def scalars(self, hyper: Mapping[str, Any], step: int) -> dict[str, float]:
        return {"applied": float(hyper["applied"])}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        bucket.rate_scale = bucket.scalar(self, "applied")
        return updates


def average(loss: Any) -> float:
    """The loss, averaged over data-parallel ranks."""
    value = torch.as_tensor(loss).detach().double()
    if distributed.is_available() and distributed.is_initialized():
        value = value.clone()
        distributed.all_reduce(value)
        value /= distributed.get_world_size()
    return float(value)
