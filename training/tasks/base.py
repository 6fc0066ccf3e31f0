"""What a task is: how a batch becomes a loss, what is measured, and how an evaluation runs. Torch alone.

A task is given the model and a batch, so a batch may have any structure. The metrics of each task, with unit and
direction, are listed in conf/metrics.py, which needs no torch. Accuracies and areas under the curve are in percent.
The `loss` that is measured is plain: without label smoothing, class weights or other terms of the training loss.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from training.distribution import World
from training.mixing import Batch
from training.runtime import Diverged

Model = Callable[..., Tensor]  # a net's forward pass, under the run's precision
Scores = list[tuple[Tensor, Tensor]]  # (scores [B, K], targets [B, K]) of each batch
Derive = Callable[[dict[str, Tensor], Scores], dict[str, Tensor]]


class Split(Protocol):
    """One part of a data set, as data/dataset.py describes it."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[Batch]:
        """Yield a batch for each tensor of positions; key: of the augmentation, None in an evaluation."""


class Meter:
    """Adds metrics up over samples, on the device that the values are on.

    sums: name -> scalar tensor, float64. scores: what an area under the curve needs whole. Both are empty before the
    first update. derive: makes a result's metrics of the means over samples and of the scores.
    """

    def __init__(self, derive: Derive = lambda means, scores: means) -> None:
        """Start with nothing counted."""
        self.sums: dict[str, Tensor] = {}
        self.scores: Scores = []
        self._derive = derive

    def update(self, values: Mapping[str, Tensor], scores: tuple[Tensor, Tensor] | None = None) -> None:
        """Add a batch: each metric's value per sample, [B]."""
        samples = torch.ones_like(next(iter(values.values())))
        for name, value in {**values, "samples": samples}.items():
            total = value.double().sum()
            self.sums[name] = self.sums[name] + total if name in self.sums else total
        self.scores += [] if scores is None else [scores]

    def reduce(self, world: World) -> "Meter":
        """Add up over the processes, in place; scores are joined in order of rank."""
        for value in self.sums.values():
            world.sum(value)
        self.scores = world.gather_objects(self.scores)
        return self

    def result(self, prefix: str = "") -> dict[str, float]:
        """Return the metrics, after one synchronisation with the device; a NaN is left out, unless it is the loss.

        Raises ValueError before the first update.
        """
        if not self.sums:
            raise ValueError("a meter has no result before its first update")
        means = {name: total / self.sums["samples"] for name, total in self.sums.items() if name != "samples"}
        derived = self._derive(means, self.scores)
        values = zip(derived, torch.stack(list(derived.values())).tolist(), strict=True)
        return {f"{prefix}{name}": value for name, value in values if value == value or name == "loss"}

    def state_dict(self) -> dict[str, Any]:
        """Return what this process has counted."""
        return {"sums": self.sums, "scores": self.scores}

    def load_state_dict(self, saved: Mapping[str, Any], device: torch.device) -> None:
        """Go on from what `state_dict` returned."""
        self.sums = {name: value.to(device) for name, value in saved["sums"].items()}
        self.scores = [(scores.to(device), targets.to(device)) for scores, targets in saved["scores"]]


class Task(Protocol):
    """What the training loop asks of a task."""

    def meter(self) -> Meter:
        """Return an empty meter of this task's metrics."""

    def loss(self, model: Model, batch: Batch, meter: Meter | None = None) -> Tensor:
        """Return the mean training loss of a batch, with its graph; count the batch in the meter, if there is one."""

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Count the batches of a data set in the meter; the model is in evaluation mode, without gradients."""


class Supervised(Task):
    """A task whose batch is (inputs, targets): a subclass says how outputs are compared with targets."""

    def __init__(self, num_classes: int) -> None:
        """num_classes: of the data set."""
        self.num_classes = num_classes

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean training loss of float32 outputs."""
        raise NotImplementedError

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return each metric's value per sample, [B]."""
        raise NotImplementedError

    def scores(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return what `derive` needs of every sample, two tensors [B, K]; None: nothing."""
        return None

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return the metrics of a data set, from the means over its samples and all scores."""
        return means

    def meter(self) -> Meter:
        """Return an empty meter of this task's metrics."""
        return Meter(self.derive)

    @torch.no_grad()
    def count(self, outputs: Tensor, targets: Tensor, meter: Meter) -> None:
        """Add a batch to a meter."""
        outputs = outputs.float()
        meter.update(self.measure(outputs, targets), self.scores(outputs, targets))

    def loss(self, model: Model, batch: Batch, meter: Meter | None = None) -> Tensor:
        """Return the mean training loss of a batch; see `Task.loss`."""
        inputs, targets = batch
        outputs = model(inputs).float()
        if meter is not None:
            self.count(outputs.detach(), targets, meter)
        return self.criterion(outputs, targets)

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Count the batches of a data set in the meter."""
        for inputs, targets in batches:
            self.count(model(inputs), targets, meter)


@torch.no_grad()
def evaluate(
    task: Task, net: nn.Module, model: Model, splits: Mapping[str, Split | None], batch_size: int, world: World
) -> dict[str, float]:
    """Return each split's metrics as `<split>_<metric>`, each sample counted once; a split that is None has none.

    net: whose buffers and mode count; it is left in training mode. model: its forward pass. Every process takes its
    part of a split, with the buffers of process 0. Raises Diverged for a score that is not finite, which can happen
    with finite weights.
    """
    world.copy_buffers(net)
    net.eval()
    row: dict[str, float] = {}
    for name, split in splits.items():
        if split is not None:
            meter = task.meter()
            mine = torch.tensor_split(torch.arange(len(split)), world.size)[world.rank]
            task.evaluate(model, split.batches(torch.split(mine, batch_size)), meter)
            row |= meter.reduce(world).result(f"{name}_")
    net.train()
    if not all(map(math.isfinite, row.values())):
        raise Diverged
    return row
