"""SAM's evaluation: the gradient is taken at the worst point of a small ball around the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from optim.stages.base import Closure, Evaluation, Ranges, check

if TYPE_CHECKING:
    from optim.chain import Chain


class ascent(Evaluation):
    """SAM (Foret et al. 2021, Algorithm 1): the gradient at w + e, e = rho g / ||g||, g at w, over all tensors.

    `adaptive`: ASAM (Kwon et al. 2021), e = rho w^2 g / || |w| g ||, entry by entry. The weights are put back bit by
    bit before the step, which returns the loss at w. A param group may have a `rho` of its own.

    `batch_norm_statistics`: "first" (of the calls of the closure; the authors' JAX code) or "all" (the common PyTorch
    port). `ascent`: with data-parallel ranks, "global" has g averaged over them; "local" has each rank use its own
    (m-SAM, the paper's): then `chain.sync_gradients` is False during the first call, and the closure is to honour it
    (`DistributedDataParallel.no_sync`).
    """

    name = "sam"
    needs_closure = True
    ranges: ClassVar[Ranges] = {"rho": "[0, inf)"}

    def __init__(
        self,
        rho: float = 0.05,
        adaptive: bool = False,
        ascent: str = "global",
        batch_norm_statistics: str = "first",
    ) -> None:
        super().__init__(rho=rho, adaptive=adaptive)
        check("ascent", ascent, ("global", "local"))
        check("batch_norm_statistics", batch_norm_statistics, ("first", "all"))
        self.ascent, self.batch_norm_statistics = ascent, batch_norm_statistics

    def gradients(self, chain: Chain, closure: Closure) -> Any:
        chain.sync_gradients = self.ascent == "global"
        try:
            with torch.enable_grad():
                loss = closure()
        finally:
            chain.sync_gradients = True
        before = self.climb(chain)
        try:
            with torch.enable_grad():
                closure()
        finally:
            for p, value in before:
                p.copy_(value)
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
