"""Warnings, a line each, about what is allowed and rarely meant. `canaries=false` turns them off."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from training.schedule import Horizon


def warn(trainer: Any, canary: Callable[[Any], Iterator[str]]) -> None:
    """Print what a canary says, if the run shows anything and canaries are on."""
    if trainer.config["canaries"] and trainer.shown:
        print(*(f"warning: {line}\n" for line in canary(trainer)), sep="", end="", flush=True)


def at_start(trainer: Any) -> Iterator[str]:
    """Warn of a schedule that outlives the run, and of clipping that the optimizer cancels."""
    late = trainer.schedule.unfinished(Horizon(trainer.steps_per_epoch, trainer.total_steps or 10**9))
    if late:
        yield late
    if trainer.config["clip_norm"] and _normalises(trainer.optimizer):
        yield "clip_norm: this optimizer divides each gradient by its norm, which cancels clipping (SING, Appendix D.1)"


def after_a_step(trainer: Any) -> Iterator[str]:
    """Warn of trainable parameters that the loss does not reach."""
    reached: dict[str, Tensor | None] = {n: p.grad for n, p in trainer.model.named_parameters() if p.requires_grad}
    idle = [name for name, gradient in reached.items() if gradient is None]
    if idle:
        yield f"{len(idle)} trainable tensors have no gradient, among them {idle[0]}"


def _normalises(optimizer: Optimizer) -> bool:
    return any(getattr(stage, "name", "") == "normalize" for stage in getattr(optimizer, "stages", ()))
