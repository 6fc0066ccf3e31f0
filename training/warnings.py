"""Warnings, a line each, about what is allowed and rarely meant. `warnings.<name>=false` turns one off.

Those that need no torch are conf's (conf/compose.py); they come with the configuration.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ParamSpec, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from training.runtime import Model
from training.tasks.base import Split, Task

P = ParamSpec("P")
Outputs = tuple[Tensor, Tensor]  # of the compiled net and of the net itself


@runtime_checkable
class Identified(Split, Protocol):
    """A split whose samples can be told apart."""

    def identities(self) -> Iterable[bytes | str]:
        """Yield what is equal for equal samples alone, in order."""


class Warnings:
    """Prints the warnings that are turned on, where the run shows anything."""

    def __init__(self, switches: Mapping[str, bool], shown: bool) -> None:
        """switches: name -> whether it is on; a warning without a switch is a KeyError."""
        self._switches, self._shown = switches, shown
        self._outputs: Callable[[], Outputs] | None = None

    def check(self, name: str, found: Callable[P, str | None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Print what `found` returns for the arguments, if anything; it is not called if the warning is off."""
        line = found(*args, **kwargs) if self._shown and self._switches[name] else None
        if line:
            print(f"warning: {line}", flush=True)

    def at_start(self, config: Mapping[str, Any], optimizers: Iterable[Optimizer], late: str | None) -> None:
        """Print the warnings that need no step and no data.

        config: the composed configuration. late: what of the schedule the run will never reach.
        """
        for name, line in config["config_warnings"].items():
            self.check(name, str, line)
        self.check("schedule", lambda: late)
        for optimizer in optimizers:
            self.check("clipping", cancelled_clipping, optimizer, config["clip_norm"])

    def watch(self, outputs: Callable[[], Outputs]) -> None:
        """Have the outputs of a compiled net, and those of the net itself, compared before and after a step."""
        if self._shown and self._switches["compiled"]:
            self._outputs, self._before = outputs, outputs()

    def after_a_step(self, model: nn.Module) -> None:
        """Print the warnings that only a step shows."""
        self.check("gradients", no_gradient, model)
        if self._outputs is not None:
            self.check("compiled", stale_evaluation, self._before, self._outputs())


def cancelled_clipping(optimizer: Optimizer, clip_norm: float) -> str | None:
    """Look for clipping that the optimizer cancels."""
    normalises = any(getattr(stage, "name", "") == "normalize" for stage in getattr(optimizer, "stages", ()))
    if clip_norm and normalises:
        return (
            "clip_norm: this optimizer divides each gradient by its norm, which cancels clipping (SING, Appendix D.1)"
        )
    return None


def overlap(train: Split, validation: Split | None, test: Split) -> str | None:
    """Look for test samples that training or selection sees; generated sets have no samples to compare."""
    if not isinstance(test, Identified):
        return None
    held_out = [hash(sample) for sample in test.identities()]  # the samples themselves would fill gigabytes
    for name, split in (("train", train), ("validation", validation)):
        seen = {hash(sample) for sample in split.identities()} if isinstance(split, Identified) else set()
        shared = sum(sample in seen for sample in held_out)
        if shared:
            return f"data: {shared} of {len(test)} test samples are in the {name} split"
    return None


def not_invariant(suspects: Callable[P, list[str]], *args: P.args, **kwargs: P.kwargs) -> str | None:
    """Look for tensors whose gradients, at the weights at hand, contradict the scale invariance that is claimed.

    suspects: optim.suspects, for the arguments after it.
    """
    found = suspects(*args, **kwargs)
    return f"groups: {found[0]} and {len(found) - 1} others are called scale-invariant and are not" if found else None


def no_gradient(model: nn.Module) -> str | None:
    """Look, after a step, for trainable parameters that the loss does not reach."""
    idle = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    return f"{len(idle)} trainable tensors have no gradient, among them {idle[0]}" if idle else None


@torch.no_grad()
def both_outputs(task: Task, compiled: Model, test: Split, batch_size: int) -> Outputs:
    """Evaluate the first batch of the test split, of the shape that evaluation compiles for in any case, twice: by the
    compiled net and by the net itself, which is left in training mode.
    """
    batch = next(iter(test.batches(task.held_out(test, batch_size)[:1])))
    eager = replace(compiled, forward=compiled.net)
    compiled.net.eval()
    outputs = task.outputs(compiled, batch).float(), task.outputs(eager, batch).float()
    compiled.net.train()
    return outputs


def stale_evaluation(before: Outputs, after: Outputs) -> str | None:
    """Look for a compiled evaluation that keeps old weights: its outputs must move in a step as the net's own do.

    before, after: `both_outputs`. Half of the movement may be missing, and twice what the two differed by before the
    step (bf16 rounds each apart).
    """
    moved = [now - then for now, then in zip(after, before, strict=True)]
    allowed = moved[1].norm() / 2 + 2 * (before[0] - before[1]).norm()
    if (moved[0] - moved[1]).norm() > allowed:
        return "compile_model: the compiled net's evaluation does not follow the weights; compile_model=false does"
    return None
