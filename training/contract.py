"""What the loop asks of an optimizer, whoever wrote it, and what it does for one that asks for more."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim import Optimizer


def check(optimizer: Optimizer) -> None:
    """Raise ValueError, one line, for an optimizer that the loop cannot drive."""
    name = type(optimizer).__name__
    if any("lr" not in group for group in optimizer.param_groups):
        raise ValueError(f"optimizer: {name} has no `lr` in its param_groups, which the schedule sets at each step")
    try:
        inspect.signature(optimizer.step).bind(lambda: None)
    except TypeError as error:
        raise ValueError(f"optimizer: {name}.step takes no closure, which is where the loss is computed") from error


def to_train(optimizer: Optimizer) -> None:
    """Tell an optimizer with two sets of weights (schedule-free methods) that steps follow."""
    getattr(optimizer, "train", lambda: None)()


def to_evaluate(optimizer: Optimizer) -> None:
    """Tell it that the weights are looked at."""
    getattr(optimizer, "eval", lambda: None)()


@contextmanager
def evaluated(model: nn.Module, optimizer: Optimizer) -> Iterator[None]:
    """Inside the block the net has the weights to be looked at; after it those that are trained, to the bit.

    Such optimizers compute the one from the other, which rounds: without the copy, looking would change a run.
    """
    if not hasattr(optimizer, "eval"):
        yield
        return
    trained = [parameter.detach().clone() for parameter in model.parameters()]
    to_evaluate(optimizer)
    try:
        yield
    finally:
        to_train(optimizer)
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), trained, strict=True):
                parameter.copy_(value)
