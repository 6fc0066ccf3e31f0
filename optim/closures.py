"""Both sides of a closure: one for any loop, and what SAM and SLS ask of it, whoever wrote it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from .stages.base import Closure
from .stages.lists import is_sharded

if TYPE_CHECKING:
    from .chain import Chain

Batch = TypeVar("Batch")


class closure(Generic[Batch]):
    """The loss of one step's micro-batches, to be given to `optimizer.step`.

    Each call sees the same batches and draws the same random numbers (dropout). Where gradients are enabled it zeroes
    them and backpropagates; under no_grad it only returns the loss. The first call has them enabled in any case. Batch
    norm's running statistics are moved by the first call, unless the optimizer says `batch_norm_statistics` "all". Over
    several processes gradients are averaged once a call, with the last micro-batch, and not at all where the
    optimizer says `sync_gradients` False (SAM with ascent="local").

    Args:
        model: the net as `loss_fn` calls it, perhaps in DistributedDataParallel or sharded by `fully_shard`.
        loss_fn: the mean loss of a micro-batch, a 0-d tensor.
        optimizer: whose closure it is to be.
        batches: the micro-batches of this step, one or more, of whatever kind `loss_fn` takes.
        weights: of each micro-batch's loss in the sum of all; equal, and 1 together, by default.
        clip: called where the gradients are complete: `lambda: clip_grad_norm_(model.parameters(), 1.0)`.
        repeat: makes the context of a call, in which random draws are the same each time; by default torch's global
            generators are set back, and go on after the step as from its first call.

        >>> loss_fn = lambda batch: cross_entropy(model(batch[0]), batch[1])
        >>> loss = optimizer.step(closure(model, loss_fn, optimizer, [(images, labels)]))
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[[Batch], Tensor],
        optimizer: Optimizer,
        batches: Sequence[Batch],
        *,
        weights: Sequence[float] | None = None,
        clip: Callable[[], object] | None = None,
        repeat: Callable[[], AbstractContextManager[object]] | None = None,
    ) -> None:
        self.model, self.loss_fn, self.optimizer, self.batches = model, loss_fn, optimizer, batches
        self.weights = [1 / len(batches)] * len(batches) if weights is None else weights
        self.clip, self.repeat, self.calls = clip, repeat or Rewound(), 0

    def __call__(self) -> Tensor:
        """The loss at the weights, detached."""
        self.calls += 1
        again = self.calls > 1
        frozen = again and getattr(self.optimizer, "batch_norm_statistics", "first") != "all"
        enabled = torch.set_grad_enabled(not again or torch.is_grad_enabled())
        with enabled, frozen_statistics(self.model, frozen), self.repeat():
            return self._loss()

    def _loss(self) -> Tensor:
        trained = torch.is_grad_enabled()
        if trained:
            self.optimizer.zero_grad()
        losses = []
        for number, (batch, weight) in enumerate(zip(self.batches, self.weights, strict=True), start=1):
            last = number == len(self.batches)
            with (
                nullcontext()
                if last and getattr(self.optimizer, "sync_gradients", True)
                else unsynchronized(self.model)
            ):
                loss = self.loss_fn(batch) * weight
                if trained:
                    loss.backward()
            losses.append(loss.detach())
        if trained and self.clip is not None:
            self.clip()
        return sum(losses, torch.zeros_like(losses[0]))


@contextmanager
def frozen_statistics(model: nn.Module, frozen: bool = True) -> Iterator[None]:
    """Normalise by the batch as in training, but leave batch norm's running statistics alone."""
    moved = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats] if frozen else []
    for module in moved:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in moved:
            module.track_running_stats = True


@contextmanager
def unsynchronized(model: nn.Module) -> Iterator[None]:
    """Let each process keep its own gradients (DistributedDataParallel, FSDP, fully_shard; nothing for other nets)."""
    no_sync: Callable[[], AbstractContextManager[None]] | None = getattr(model, "no_sync", None)
    if no_sync is not None:
        with no_sync():
            yield
        return
    switch: Callable[[bool], None] = getattr(model, "set_requires_gradient_sync", lambda _: None)
    switch(False)
    try:
        yield
    finally:
        switch(True)


def whole_gradients(chain: "Chain", ask: Closure) -> Any:
    """The loss at the weights, with its gradients in `p.grad`.

    RuntimeError, one line, for weights of which each process has its own, and for a closure that adds gradients to
    those from before the step: they are of other batches, and cannot be had anew at other weights.
    """
    if not chain.steps_taken:
        _require_equal(chain)
    found = [(p, p.grad) for group in chain.param_groups for p in group["params"] if p.grad is not None]
    sizes = torch._foreach_norm([gradient for _, gradient in found]) if found else ()
    chain.zeroed = False
    with torch.enable_grad():
        loss = ask()
    added = [size for (p, gradient), size in zip(found, sizes, strict=True) if p.grad is gradient]
    if not chain.zeroed and any(bool(size) for size in added):
        raise RuntimeError(
            f"{type(chain).__name__}.step: the closure adds to gradients from before the step; it is to zero them, and "
            "to compute all micro-batches of the step (optim.closure does)"
        )
    return loss


def _require_equal(chain: "Chain") -> None:
    """The norm of a gradient, or a loss along it, is that of all weights: so each process needs them all."""
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return
    params = [p for group in chain.param_groups for p in group["params"] if not is_sharded(p)]
    if not params:
        return
    total = torch.stack([p.double().sum() for p in params]).sum()
    ends = torch.stack([total, -total])
    distributed.all_reduce(ends, distributed.ReduceOp.MAX)
    if float(ends.sum()) > 0:
        raise RuntimeError(
            f"{type(chain).__name__}.step: each process has weights of its own (ZeRO, FSDP's flat shards), which it "
            "cannot take; use DistributedDataParallel"
        )


def loss_alone(chain: "Chain", ask: Closure) -> Any:
    """The loss under no_grad; RuntimeError, one line, for a closure that cannot give it."""
    try:
        return ask()
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        raise RuntimeError(
            f"{type(chain).__name__}.step also asks for the loss alone, under torch.no_grad: the closure is to call "
            "backward only where torch.is_grad_enabled() (optim.closure does)"
        ) from error


@contextmanager
def kept(chain: "Chain") -> Iterator[list[tuple[Tensor, Tensor, Tensor]]]:
    """(w, its values, its gradient) of each tensor with a gradient; afterwards both are as they were.

    Whatever a closure did to `p.grad`, or in its memory, which may be DDP's.
    """
    params = [p for group in chain.param_groups for p in group["params"] if p.grad is not None]
    lines = [(p, p.clone(), p.grad.clone()) for p in params]
    try:
        yield lines
    finally:
        put_back([(p, value) for p, value, _ in lines])
        for p, _, gradient in lines:
            p.grad = gradient


def put_back(values: list[tuple[Tensor, Tensor]]) -> None:
    """Write values into weights, in place."""
    for p, value in values:
        p.copy_(value)


class Rewound:
    """Contexts that draw from torch's generators what the first of them drew."""

    def __init__(self) -> None:
        self.start: tuple[Tensor, Tensor | None] | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """A context: the first notes where the generators were, later ones start and leave them there."""
        cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
        if self.start is None:
            self.start = torch.get_rng_state(), torch.cuda.get_rng_state() if cuda else None
            yield
            return
        with torch.random.fork_rng([torch.cuda.current_device()] if cuda else []):
            torch.set_rng_state(self.start[0])
            if self.start[1] is not None:
                torch.cuda.set_rng_state(self.start[1])
            yield
