"""SLS (Vaswani et al.: Painless Stochastic Gradient, NeurIPS 2019), by its authors' code."""

from __future__ import annotations

from typing import Any, Unpack

from optim.chain import Chain, Options
from optim.stages.search import found_step, line_search


class SLS(Chain):
    """SGD with a stochastic line search: w <- w - eta g, eta backtracked to f(w - eta g) <= f(w) - c eta ||g||^2.

    `lr` is the first step tried. Needs a closure that gives the loss without backward where gradients are disabled.
    Rules and keywords: `optim.stages.search.line_search`. No momentum; decay, if any, is decoupled and not searched.
    """

    def __init__(
        self,
        params: Any,
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
        search = line_search(c, beta_b, gamma, n_batches_per_epoch, reset, rule, beta_f, eta_max)
        options.setdefault("evaluation", search)
        super().__init__(params, (found_step(),), lr=lr, weight_decay=weight_decay, **options)
