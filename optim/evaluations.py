"""SAM and ASAM: the gradient is taken at the worst point of a small ball."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .closures import put_back, whole_gradients
from .stages import by_name
from .stages.base import Closure, Evaluation
from .stages.by_name import Entry
from .stages.keywords import In, Momentum, NotNegative, Rate, WeightDecay
from .stages.moments import heavy_ball

Radius = Annotated[NotNegative, "radius of the ball; 2.0 is usual for ASAM; a param group may have its own"]
Ascent = Annotated[str, In(("global", "local")), "whose g is climbed"]
Statistics = Annotated[str, In(("first", "all")), "which calls of the closure update them"]


class SAM(Chain, decay="coupled"):
    """SAM: SGD with the gradient at w + e, e = rho g / ||g||, g that at w, over all tensors.

    `adaptive=True` is ASAM: e = rho w^2 g / || |w| g ||, entry by entry. Decay is coupled (L2), and not part of the
    ascent. Over any other chain SAM is the `evaluation`: `AdamP(..., evaluation="ascent")`.

    With data-parallel ranks `ascent` "global" has g averaged over them; "local" has each rank use its own (m-SAM, the
    paper's): then `sync_gradients` is False during the first call of the closure, which is to honour it
    (`DistributedDataParallel.no_sync`). `batch_norm_statistics` are updated by the "first" call of the closure (the
    authors' JAX code) or by "all" (the common PyTorch port).

    References: Foret et al. 2021 (arXiv 2010.01412), Algorithm 1; Kwon et al. 2021 (arXiv 2102.11600). Raises
    ValueError for a value out of range, and in `step` without a closure.

        >>> optimizer = SAM(model.parameters(), lr=0.1, rho=0.05)
        >>> loss = optimizer.step(closure)  # calls it twice; `optim.closure` makes one

    In a loop without closures: `loss(w).backward()`, `first_step()`, `loss(w).backward()`, `second_step()`.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 0.1,
        momentum: Annotated[Momentum, "mu of SGD"] = 0.9,
        nesterov: Annotated[bool, "with Nesterov's momentum"] = False,
        weight_decay: WeightDecay = 0.0,
        base: Annotated[Entry | Sequence[Entry] | None, "stages by their names, in the place of SGD's"] = None,
        rho: Radius = 0.05,
        adaptive: Annotated[bool, "ASAM"] = False,
        ascent: Ascent = "global",
        batch_norm_statistics: Statistics = "first",
        **options: Unpack[Options],
    ) -> None:
        options.setdefault("evaluation", _ascent(rho, adaptive, ascent, batch_norm_statistics))
        stages = [heavy_ball(momentum, nesterov=nesterov)] if base is None else by_name.stages(base, "base")
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)

    def first_step(self) -> None:
        """After a backward pass at w: go to w + e, and zero the gradients. Any accumulation is the loop's."""
        assert isinstance(self.evaluation, _ascent)
        self.evaluation.first_step(self)

    def second_step(self) -> None:
        """After a backward pass at w + e: go back to w, and take the step. RuntimeError before `first_step`."""
        assert isinstance(self.evaluation, _ascent)
        self.evaluation.second_step(self)


class ascent(Evaluation):
    """The gradient of `SAM`, where formula and arguments are, for any chain; weights are put back bit by bit.

    The step returns the loss at w.
    """

    name = "sam"
    needs_closure = True

    def __init__(
        self,
        rho: Radius = 0.05,
        adaptive: bool = False,
        ascent: Ascent = "global",
        batch_norm_statistics: Statistics = "first",
    ) -> None:
        super().__init__(rho=rho, adaptive=adaptive)
        self.check_constants(ascent=ascent, batch_norm_statistics=batch_norm_statistics)
        self.ascent, self.batch_norm_statistics = ascent, batch_norm_statistics
        self.before: list[tuple[Tensor, Tensor]] | None = None  # w, between first_step and second_step

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
            put_back(before)
        return loss

    @torch.no_grad()
    def first_step(self, chain: Chain) -> None:
        """See `SAM.first_step`."""
        self.before = self.climb(chain)
        chain.zero_grad()

    @torch.no_grad()
    def second_step(self, chain: Chain) -> None:
        """See `SAM.second_step`."""
        if self.before is None:
            raise RuntimeError(f"{type(chain).__name__}.second_step comes after first_step and a backward pass")
        put_back(self.before)
        self.before, self.needs_closure = None, False
        try:
            chain.step()
        finally:
            self.needs_closure = True

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


_ascent = ascent  # in SAM's signature the word is a keyword
