"""The tasks, one file a family; `training/tasks/base.py` says what a task is, conf/task/ lists them."""

import math
from collections.abc import Mapping
from inspect import signature
from pkgutil import resolve_name
from typing import Any

import torch

from training import build as build_target
from training.distribution import World
from training.runtime import Diverged, Model
from training.tasks.base import Split, Task

GIVEN = ("label_smoothing", "class_weights")  # of the root's keys, to the tasks that name them
FACTS = ("num_classes", "normalise")  # of the data set's


def build(config: Mapping[str, Any]) -> Task:
    """Build the task of a run from its composed configuration.

    A task gets its own keys, and of label_smoothing, class_weights and the data set's facts those that its signature
    names.
    """
    known = {key: config[key] for key in GIVEN} | {key: config["data"].get(key) for key in FACTS}
    named = signature(resolve_name(config["task"]["target"])).parameters
    return build_target(Task, {**config["task"], **{key: known[key] for key in known if key in named}})


@torch.no_grad()
def evaluate(
    task: Task, model: Model, splits: Mapping[str, Split | None], batch_size: int, world: World
) -> dict[str, float]:
    """Return each split's metrics as `<split>_<metric>`, each sample counted once; a split that is None has none.

    model: it is left in training mode. batch_size: of each process. Every process takes its part of each batch, with
    the buffers of process 0. Raises Diverged for a score that is not finite, which can happen with finite weights.
    """
    world.copy_buffers(model.net)
    model.net.eval()
    row: dict[str, float] = {}
    for name, split in splits.items():
        if split is not None:
            meter = task.meter()
            shares = [
                part.tensor_split(world.size)[world.rank] for part in task.held_out(split, batch_size * world.size)
            ]
            task.evaluate(model, split.batches([share for share in shares if len(share)]), meter)
            row |= meter.reduce(world).result(f"{name}_")
    model.net.train()
    if not all(map(math.isfinite, row.values())):
        raise Diverged
    return row
