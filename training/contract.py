"""What the loop asks of any net and any optimizer, whoever wrote them, and what it does for those that ask for more."""

import fnmatch
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


def check(optimizer: Optimizer, cross_entropy: bool) -> None:
    """Raise ValueError, one line, for an optimizer that the loop cannot drive.

    cross_entropy: whether the task's loss is one.
    """
    name = type(optimizer).__name__
    if any("lr" not in group for group in optimizer.param_groups):
        raise ValueError(f"optimizer: {name} has no `lr` in its param_groups, which the schedule sets at each step")
    try:
        inspect.signature(optimizer.step).bind(lambda: None)
    except TypeError as error:
        raise ValueError(f"optimizer: {name}.step takes no closure, which is where the loss is computed") from error
    if not cross_entropy and getattr(getattr(optimizer, "evaluation", None), "needs_cross_entropy", False):
        raise ValueError(f"optimizer: {name} needs a task whose loss is a cross entropy, or estimator=hutchinson")


def switch(optimizers: Iterable[Optimizer], mode: str) -> None:
    """Tell optimizers with two sets of weights (schedule-free methods) what follows: `train` steps or `eval` looks."""
    for optimizer in optimizers:
        getattr(optimizer, mode, lambda: None)()


@contextmanager
def evaluated(model: nn.Module, optimizers: Sequence[Optimizer]) -> Iterator[None]:
    """Inside the block the net has the weights to be looked at; after it those that are trained, to the bit.

    Such optimizers compute the one from the other, which rounds: without the copy, looking would change a run.
    """
    if not any(hasattr(optimizer, "eval") for optimizer in optimizers):
        yield
        return
    trained = [parameter.detach().clone() for parameter in model.parameters()]
    switch(optimizers, "eval")
    try:
        yield
    finally:
        switch(optimizers, "train")
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), trained, strict=True):
                parameter.copy_(value)


def freeze(model: nn.Module, what: str | list[str]) -> list[str]:
    """Stop training some parameters; returns their names.

    what: `none`, `norm_affine` (the scale and shift of every norm), or a list of patterns of names. Raises ValueError
    for a pattern that matches nothing.
    """
    norms = {p for module in model.modules() if isinstance(module, _NORMS) for p in module.parameters(recurse=False)}
    frozen = {name: p for name, p in model.named_parameters() if what == "norm_affine" and p in norms}
    for pattern in what if isinstance(what, list) else []:
        matches = {name: p for name, p in model.named_parameters() if fnmatch.fnmatchcase(name, pattern)}
        if not matches:
            raise ValueError(f"freeze: the pattern {pattern!r} matches no parameter")
        frozen |= matches
    for parameter in frozen.values():
        parameter.requires_grad_(False)
    return list(frozen)


def smallest_piece(sizes: Sequence[int], steps: int | None, processes: int, config: Mapping[str, Any]) -> int:
    """Return the fewest samples of which batch norm will ever compute its statistics.

    sizes: of an epoch's batches. steps: of the whole run, None where that is not known. config: as composed.
    """
    smallest = min(sizes[:steps])  # a short run never comes to an epoch's last batch
    share = max(1, smallest // processes)
    piece: int = share // min(share, config["accumulation"])
    return piece * processes if config["bn"] == "sync" else piece


def rehearse(model: nn.Module, inputs: Tensor | None, smallest: int, width: int | None = None) -> None:
    """Pass two blank samples forward in training mode, and one alone if that is the `smallest` batch that comes.

    inputs: the samples, [2, ...]; None: nothing to rehearse. width: of the answer, a tensor [2, width, ...]; None: any.
    The net is left as it was; dropout draws from torch's global generators. Raises ValueError, one line, for inputs
    that the net does not take, another answer, and a single sample where batch norm needs more.
    """
    if inputs is None:
        return
    shape = _shape(inputs[0])
    answer = _forward(model, inputs, f"model: cannot take samples of {shape}: {{}}")
    if width is not None and not (isinstance(answer, Tensor) and answer.shape[:2] == (2, width)):
        found = _shape(answer) if isinstance(answer, Tensor) else f"a {type(answer).__name__}"
        raise ValueError(f"model: answers 2 samples with {found}, where this task needs a tensor of 2 x {width}")
    if smallest == 1:
        _forward(
            model,
            inputs[:1],
            "batch_size: the last batch of an epoch leaves a single sample to a step, which batch norm cannot take "
            "({}); choose another batch_size or accumulation",
        )


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape))


@torch.no_grad()
def _forward(model: nn.Module, inputs: Tensor, complaint: str) -> object:
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        return functional_call(model, buffers, (inputs,))
    except Exception as error:  # whatever a net's code makes of a shape
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(complaint.format(reason)) from error
