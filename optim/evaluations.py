"""SAM, ASAM and SLS: the gradient is taken at the worst point of a small ball, or the step is searched for."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, distributed
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .stages import by_name
from .stages.base import Bucket, Closure, Evaluation, Ranges, Stage, check
from .stages.by_name import Entry
from .stages.moments import heavy_ball

TRIALS = 100
LAST_RESORT = 1e-6  # the step where no trial is accepted


class SAM(Chain, decay="coupled"):
    """SAM: SGD with the gradient at w + e, e = rho g / ||g||, g that at w, over all tensors.

    `adaptive=True` is ASAM: e = rho w^2 g / || |w| g ||, entry by entry. Decay is coupled (L2), and not part of the
    ascent. Over any other chain SAM is the `evaluation`: `AdamP(..., evaluation="ascent")`.

    Args:
        lr: learning rate, in [0, inf).
        momentum: mu of SGD, in [0, 1).
        nesterov: with Nesterov's momentum.
        weight_decay: L2 coefficient lambda, in [0, inf).
        base: stages by their names in the place of SGD's; momentum and nesterov are then not used.
        rho: radius of the ball, in [0, inf); 2.0 is usual for ASAM. A param group may have its own.
        adaptive: ASAM.
        ascent: with data-parallel ranks: "global" has g averaged over them; "local" has each rank use its own (m-SAM,
            the paper's): then `sync_gradients` is False during the first call of the closure, which is to honour it
            (`DistributedDataParallel.no_sync`).
        batch_norm_statistics: updated by which calls of the closure: "first" (the authors' JAX code) or "all" (the
            common PyTorch port).

    References: Foret et al. 2021 (arXiv 2010.01412), Algorithm 1; Kwon et al. 2021 (arXiv 2102.11600). Raises
    ValueError for a value out of range, and in `step` without a closure.

        >>> optimizer = SAM(model.parameters(), lr=0.1, rho=0.05)
        >>> loss = optimizer.step(closure)  # calls it twice
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.1,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        base: Entry | Sequence[Entry] | None = None,
        rho: float = 0.05,
        adaptive: bool = False,
        ascent: str = "global",
        batch_norm_statistics: str = "first",
        **options: Unpack[Options],
    ) -> None:
        options.setdefault("evaluation", _ascent(rho, adaptive, ascent, batch_norm_statistics))
        stages = [heavy_ball(momentum, nesterov=nesterov)] if base is None else by_name.stages(base, "base")
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class SLS(Chain):
    """SLS: SGD with a stochastic line search: w <- w - eta g, eta backtracked to f(w - eta g) <= f(w) - c eta ||g||^2.

    One search over all tensors, as the authors' code: else eta <- beta_b eta, up to 100 times, then 1e-6. Where
    ||g|| < 1e-8 nothing moves; a loss or gradient that is not finite is followed unsearched. f is averaged over ranks,
    as DDP averages g. The step is held in units of lr, so that a schedule scales it. No momentum; decay, if any, is
    decoupled and not searched.

    Args:
        lr: the first step tried, eta_0, in (0, inf).
        weight_decay: decoupled coefficient, in [0, inf).
        c: of the condition (Armijo), in (0, 1).
        beta_b: factor of a step that is too long, in (0, 1).
        gamma: growth of the first trial in an epoch, in [1, inf).
        n_batches_per_epoch: steps in an epoch, in [1, inf).
        reset: the first trial: "increase", the last step times gamma^(1 / n_batches_per_epoch); "keep", as it is;
            "initial", lr.
        rule: "armijo", or "goldstein", which also asks f(w - eta g) >= f(w) - (1 - c) eta ||g||^2.
        beta_f: factor of a step that is too short (goldstein), in (1, inf).
        eta_max: longest step (goldstein), in (0, inf).

    References: Vaswani et al.: Painless Stochastic Gradient, NeurIPS 2019, Algorithms 1 to 3, and the authors' code.
    Raises ValueError for a value out of range, and in `step` without a closure.

        >>> optimizer = SLS(model.parameters(), n_batches_per_epoch=len(loader))
        >>> loss = optimizer.step(closure)  # which only returns the loss where gradients are disabled
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1.0,
        weight_decay: float = 0.0,
        c: float = 0.1,
        beta_b: float = 0.9,
        gamma: float = 2.0,
        n_batches_per_epoch: int = 500,
        reset: str = "increase",
        rule: str = "armijo",
        beta_f: float = 2.0,
        eta_max: float = 10.0,
        **options: Unpack[Options],
    ) -> None:
        numbers = {"c": c, "beta_b": beta_b, "gamma": gamma, "n_batches_per_epoch": n_batches_per_epoch}
        search = line_search(reset, rule, **numbers, beta_f=beta_f, eta_max=eta_max)
        options.setdefault("evaluation", search)
        super().__init__(params, (apply_line_search(),), lr=lr, weight_decay=weight_decay, **options)


class ascent(Evaluation):
    """The gradient of `SAM`, where formula and arguments are, for any chain; weights are put back bit by bit.

    The step returns the loss at w.
    """

    name = "sam"
    needs_closure = True
    ranges: ClassVar[Ranges] = {"rho": "[0, inf)"}

    def __init__(
        self, rho: float = 0.05, adaptive: bool = False, ascent: str = "global", batch_norm_statistics: str = "first"
    ) -> None:
        super().__init__(rho=rho, adaptive=adaptive)
        check("ascent", ascent, ("global", "local"))
        check("batch_norm_statistics", batch_norm_statistics, ("first", "all"))
        self.ascent, self.batch_norm_statistics = ascent, batch_norm_statistics

    def gradients(self, chain: Chain, closure: Closure) -> Any:
        chain.sync_gradients = self.ascent == "global"
        try:
            loss = whole_gradients(chain, closure)
        finally:
            chain.sync_gradients = True
        before = self.climb(chain)
        chain.zero_grad()  # the closure may rely on the loop for that
        try:
            super().gradients(chain, closure)
        finally:
            _put_back(before)
        return loss

    def climb(self, chain: Chain) -> list[tuple[Tensor, Tensor]]:
        """Move the weights to w + e; return them with their old values."""
        climbs = list(self.directions(chain))
        if not climbs:
            return []
        device = climbs[0][0].device
        norm = torch.stack([scaled.norm().to(device) for _, _, scaled, _ in climbs]).norm() + 1e-12
        before = []
        for p, direction, _, rho in climbs:
            before.append((p, p.clone()))
            p.add_((direction * (rho / norm.to(p.device))).to(p.dtype))
        return before

    @staticmethod
    def directions(chain: Chain) -> Iterator[tuple[Tensor, Tensor, Tensor, float]]:
        """(w, the direction of e, what is normed, +-rho) of each tensor with a gradient."""
        for group in chain.param_groups:
            rho = -float(group["rho"]) if group["maximize"] else float(group["rho"])
            for p in group["params"]:
                if p.grad is not None:
                    g, w = p.grad.float() if p.dtype.itemsize < 4 else p.grad, p
                    yield (p, w * w * g, w * g, rho) if group["adaptive"] else (p, g, g, rho)


class line_search(Evaluation):
    """The search of `SLS`, where the conditions are; its keywords, `numbers` being those that are.

    In the param groups, in units of lr: `scale` is what the search goes on from, `applied` the step taken now.
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

    def __init__(self, reset: str, rule: str, **numbers: float) -> None:
        super().__init__(**numbers, scale=1.0, applied=1.0)
        check("reset", reset, ("increase", "keep", "initial"))
        check("rule", rule, ("armijo", "goldstein"))
        self.reset, self.rule = reset, rule

    def gradients(self, chain: Chain, closure: Closure) -> Any:
        loss = whole_gradients(chain, closure)
        first, sign = chain.param_groups[0], -1.0 if chain.param_groups[0]["maximize"] else 1.0
        with _kept(chain) as lines:
            squares = sum(float(gradient.double().square().sum()) for _, _, gradient in lines)

            def objective(eta: float) -> float:
                for p, value, gradient in lines:
                    p.copy_(value - sign * eta * gradient)
                return sign * _average(_loss_alone(chain, closure))

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

    def scalars(self, hyper: Mapping[str, Any], step: int) -> dict[str, float]:
        return {"applied": float(hyper["applied"])}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        bucket.rate_scale = bucket.scalar(self, "applied")
        return updates


def whole_gradients(chain: Chain, closure: Closure) -> Any:
    """The loss at the weights, with its gradients in `p.grad`.

    RuntimeError, one line, for a closure that adds them to gradients from before the step: those of other batches
    cannot be had anew at other weights.
    """
    found = [(p, p.grad) for group in chain.param_groups for p in group["params"] if p.grad is not None]
    sizes = torch._foreach_norm([gradient for _, gradient in found]) if found else ()
    chain.zeroed = False
    with torch.enable_grad():
        loss = closure()
    added = [size for (p, gradient), size in zip(found, sizes, strict=True) if p.grad is gradient]
    if not chain.zeroed and any(bool(size) for size in added):
        raise RuntimeError(
            f"{type(chain).__name__}.step: the closure adds to gradients from before the step; it is to zero them, and "
            "to compute all micro-batches of the step"
        )
    return loss


def _loss_alone(chain: Chain, closure: Closure) -> Any:
    try:
        return closure()
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        raise RuntimeError(
            f"{type(chain).__name__}.step also asks for the loss alone, under torch.no_grad: the closure is to call "
            "backward only where torch.is_grad_enabled()"
        ) from error


@contextmanager
def _kept(chain: Chain) -> Iterator[list[tuple[Tensor, Tensor, Tensor]]]:
    """(w, its values, its gradient) of each tensor with a gradient; afterwards both are as they were.

    Whatever a closure did to `p.grad`, or in its memory, which may be DDP's.
    """
    params = [p for group in chain.param_groups for p in group["params"] if p.grad is not None]
    lines = [(p, p.clone(), p.grad.clone()) for p in params]
    try:
        yield lines
    finally:
        for p, value, gradient in lines:
            p.copy_(value)
            p.grad = gradient


def _average(loss: Any) -> float:
    """The loss, averaged over data-parallel ranks."""
    value = torch.as_tensor(loss).detach().double()
    if distributed.is_available() and distributed.is_initialized():
        value = value.clone()
        distributed.all_reduce(value)
        value /= distributed.get_world_size()
    return float(value)


def _put_back(values: list[tuple[Tensor, Tensor]]) -> None:
    for p, value in values:
        p.copy_(value)


_ascent = ascent  # in SAM's signature the word is a keyword
