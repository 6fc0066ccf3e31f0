"""SLS: the length of the step is searched for."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Unpack

import torch
from torch import Tensor, distributed
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .closures import kept, loss_alone, whole_gradients
from .stages.base import Bucket, Closure, Evaluation, Numbers, Ranges, Stage, Step
from .stages.keywords import In, Positive, WeightDecay
from .stages.lists import is_sharded

TRIALS = 100
LAST_RESORT = 1e-6  # the step where no trial is accepted

Armijo = Annotated[float, In("(0, 1)"), "of the condition (Armijo)"]
Shrink = Annotated[float, In("(0, 1)"), "factor of a step that is too long"]
Growth = Annotated[float, In("[1, inf)"), "growth of the first trial in an epoch"]
EpochLength = Annotated[int, In("[1, inf)"), "steps in an epoch"]
Reset = Annotated[str, In(("increase", "keep", "initial")), "what is tried first"]
Rule = Annotated[str, In(("armijo", "goldstein")), "the condition"]
Stretch = Annotated[float, In("(1, inf)"), "factor of a step that is too short (goldstein)"]
Longest = Annotated[Positive, "longest step (goldstein)"]


class SLS(Chain):
    """SLS: SGD with a stochastic line search: w <- w - eta g, eta backtracked to f(w - eta g) <= f(w) - c eta ||g||^2.

    One search over all tensors, as the authors' code: else eta <- beta_b eta, up to 100 times, then 1e-6. Where
    ||g|| < 1e-8 nothing moves; a loss or gradient that is not finite is followed unsearched. f is averaged over ranks,
    as DDP averages g. The step is held in units of lr, so that a schedule scales it. No momentum; decay, if any, is
    decoupled and not searched.

    The first step tried is, by `reset`: "increase", the last step times gamma^(1 / n_batches_per_epoch); "keep", the
    last; "initial", lr. The `rule` "goldstein" also asks f(w - eta g) >= f(w) - (1 - c) eta ||g||^2.

    References: Vaswani et al.: Painless Stochastic Gradient, NeurIPS 2019, Algorithms 1 to 3, and the authors' code.
    Raises ValueError for a value out of range, and in `step` without a closure.

        >>> optimizer = SLS(model.parameters(), n_batches_per_epoch=len(loader))
        >>> loss = optimizer.step(closure)  # which only returns the loss where gradients are disabled
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Annotated[Positive, "the first step tried, eta_0"] = 1.0,
        weight_decay: WeightDecay = 0.0,
        c: Armijo = 0.1,
        beta_b: Shrink = 0.9,
        gamma: Growth = 2.0,
        n_batches_per_epoch: EpochLength = 500,
        reset: Reset = "increase",
        rule: Rule = "armijo",
        beta_f: Stretch = 2.0,
        eta_max: Longest = 10.0,
        **options: Unpack[Options],
    ) -> None:
        search = line_search(c, beta_b, gamma, n_batches_per_epoch, reset, rule, beta_f, eta_max)
        options.setdefault("evaluation", search)
        super().__init__(params, (apply_line_search(),), lr=lr, weight_decay=weight_decay, **options)


class line_search(Evaluation):
    """The search of `SLS`, where the conditions are, and its keywords.

    In the param groups, in units of lr: `scale` is what the search goes on from, `applied` the step taken now.
    """

    name = "sls"
    uncapturable = "its search compares losses"
    needs_closure = True
    ranges: ClassVar[Ranges] = {"lr": "(0, inf)"}

    def __init__(
        self,
        c: Armijo = 0.1,
        beta_b: Shrink = 0.9,
        gamma: Growth = 2.0,
        n_batches_per_epoch: EpochLength = 500,
        reset: Reset = "increase",
        rule: Rule = "armijo",
        beta_f: Stretch = 2.0,
        eta_max: Longest = 10.0,
    ) -> None:
        numbers = {"c": c, "beta_b": beta_b, "gamma": gamma, "n_batches_per_epoch": n_batches_per_epoch}
        super().__init__(**numbers, beta_f=beta_f, eta_max=eta_max, scale=1.0, applied=1.0)
        self.check_constants(reset=reset, rule=rule)
        self.reset, self.rule = reset, rule

    def gradients(self, chain: Chain, closure: Closure) -> Any:
        if any(is_sharded(p) for group in chain.param_groups for p in group["params"]):
            raise RuntimeError(
                f"{type(chain).__name__}.step cannot take sharded weights (fully_shard): a trial may not "
                "see them moved in its forward pass"
            )
        loss = whole_gradients(chain, closure)
        first, sign = chain.param_groups[0], -1.0 if chain.param_groups[0]["maximize"] else 1.0
        with kept(chain) as lines:
            squares = sum(float(gradient.double().square().sum()) for _, _, gradient in lines)

            def objective(eta: float) -> float:
                for p, value, gradient in lines:
                    p.copy_(value - sign * eta * gradient)
                return sign * _average(loss_alone(chain, closure))

            scale, applied = self.search(first, sign * _average(loss), squares, objective)
        for group in chain.param_groups:
            group["scale"], group["applied"] = scale, applied
        return loss

    def search(
        self, group: Mapping[str, Any], start: float, squares: float, objective: Callable[[float], float]
    ) -> tuple[float, float]:
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


class apply_line_search(Stage):
    """Takes the step that `line_search` found."""

    name = "apply_line_search"

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        return {"applied": float(hyper["applied"])}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        bucket.rate_scale = bucket.scalar(self, "applied")
        return updates


def _average(loss: Any) -> float:
    """The loss, averaged over data-parallel ranks."""
    value = torch.as_tensor(loss).detach().double()
    if distributed.is_available() and distributed.is_initialized():
        value = value.clone()
        distributed.all_reduce(value)
        value /= distributed.get_world_size()
    return float(value)
