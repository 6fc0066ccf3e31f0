"""Scores of the current weights on a split."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from training.distribution import World
from training.stop import Diverged


@torch.no_grad()
def evaluate(
    model: nn.Module,
    outputs: Callable[[Tensor], Tensor],
    splits: dict[str, Any],
    objective: Any,
    batch_size: int,
    world: World,
) -> dict[str, float]:
    """Return each split's metrics, each sample counted once; every process takes its part, with rank 0's buffers.

    outputs: from inputs to float32 outputs. The model is left in training mode. A split that is None has no metrics.

    Raises Diverged for a score that is not finite: weights may be finite and what they make of an image not.
    """
    world.copy_buffers(model)
    model.eval()
    row: dict[str, float] = {}
    for name, split in splits.items():
        if split is not None:
            meter = objective.meter()
            mine = torch.tensor_split(torch.arange(len(split)), world.size)[world.rank]
            for inputs, targets in split.batches(mine.split(batch_size)):
                meter.update(outputs(inputs), targets)
            row |= summed(name, meter, world)
    model.train()
    if not all(map(math.isfinite, row.values())):
        raise Diverged
    return row


def summed(name: str, meter: Any, world: World) -> dict[str, float]:
    """Return a meter's result over all processes, each metric as `<name>_<metric>`."""
    for value in meter.sums.values():
        world.sum(value)
    meter.scores = world.gathered(meter.scores)
    return {f"{name}_{key}": value for key, value in meter.result().items()}
