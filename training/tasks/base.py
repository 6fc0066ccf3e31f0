"""What a task is. A new one is a class in a file here and a yaml of its options and metrics in conf/task/.

The loop hands a task the model and a batch, so a batch may have any structure. Only `loss` and `evaluate` have to be
written; every other method has an answer that fits most tasks. A batch that is (inputs, targets) needs less still:
derive from `Supervised`. The `loss` that is measured is plain: without label smoothing, class weights or other terms of
the training loss. Random numbers come from torch's global generators, which the loop puts at the start of a private
stream: every evaluation of one step draws the same.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from training.distribution import World
from training.meter import Meter, Scores
from training.mixing import Batch as Batch
from training.runtime import Model

Carried = Batch | None  # tensors that travel from batch to batch, in any structure


class Split(Protocol):
    """One part of a data set, as data/dataset.py describes it."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[Batch]:
        """Yield a batch for each tensor of positions; key: of the augmentation, None in an evaluation."""


@dataclass
class Turn:
    """What a loss may need to know beside the model and the batch.

    player: whose turn it is, a name of `Task.players`. meter: counts the batch; None where it is counted already, as in
    SAM's second pass. carried: what the batch before left here, None in an epoch's first; the task leaves what the next
    one gets, without its graph. It is kept, and stored in checkpoints, as the first evaluation of a step left it.
    """

    player: str = ""
    meter: Meter | None = None
    carried: Carried = None


class Task:
    """What the training loop asks of a task.

    cross_entropy: whether the loss is torch's `cross_entropy` of logits, which Sophia draws labels of. width: the size
    of the second dimension of what a net answers to `example`; None: any.
    """

    cross_entropy: bool = True
    width: int | None = None

    def loss(self, model: Model, batch: Batch, turn: Turn) -> Tensor:
        """Return the mean training loss of a batch, with its graph; count the batch in turn.meter, if there is one."""
        raise NotImplementedError

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Count the batches of a data set in the meter; the model is in evaluation mode, without gradients."""
        raise NotImplementedError

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """Return what the net answers to a batch, by which a compiled net is compared with itself."""
        raise NotImplementedError

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return the metrics of a data set: of the means over its samples, and of what the meter kept whole."""
        return means

    def meter(self) -> Meter:
        """Return an empty meter of this task's metrics."""
        return Meter(self.derive)

    def prepare(self, train: Split) -> None:
        """Take from the training split what the task needs before the first step."""

    def example(self, facts: Mapping[str, Any]) -> Tensor | None:
        """Return blank inputs of two samples for a rehearsal of the net, or None for no rehearsal.

        facts: the data set's configuration (num_classes, in_channels, image_size, ...).
        """
        return None

    def order(self, split: Split, batch_size: int, generator: torch.Generator) -> Sequence[Tensor]:
        """Return the positions of each batch of an epoch; every epoch has as many batches.

        The first dimension is the sample: it is what processes and accumulation share out.
        """
        return torch.split(torch.randperm(len(split), generator=generator), batch_size)

    def held_out(self, split: Split, batch_size: int) -> Sequence[Tensor]:
        """Return the positions of each batch of an evaluation."""
        return torch.split(torch.arange(len(split)), batch_size)

    def size(self, positions: Tensor) -> int:
        """Return how much the samples at some positions of the training split count in a mean: their number."""
        return len(positions)

    def rate(self, positions: Tensor) -> float:
        """Return a factor of the learning rate for the batch at these positions."""
        return 1.0

    def players(self, net: nn.Module) -> dict[str, nn.Module]:
        """Return which part of the net each optimizer trains; the first is the one that probes observe."""
        return {"": net}

    def turns(self, step: int) -> Sequence[str]:
        """Return which players take a step of their optimizers on the batch of step `step` (0 = the first)."""
        return ("",)

    def after_turn(self, net: nn.Module, player: str, world: World) -> None:
        """Do what follows a player's step (a Wasserstein critic's weights are clipped), without gradients.

        world: the processes that took the step; every one of them comes here.
        """


class Supervised(Task):
    """A task whose batch is (inputs, targets): a subclass says how outputs are compared with targets."""

    def __init__(self, num_classes: int) -> None:
        """num_classes: of the data set."""
        self.num_classes, self.width = num_classes, self.width or num_classes

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean training loss of float32 outputs."""
        raise NotImplementedError

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return each metric's value per sample, [B]."""
        raise NotImplementedError

    def scores(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return what `derive` needs of every sample, two tensors [B, K]; None: nothing."""
        return None

    @torch.no_grad()
    def count(self, outputs: Tensor, targets: Tensor, meter: Meter) -> None:
        """Add a batch to a meter."""
        meter.update(self.measure(outputs, targets), self.scores(outputs, targets))

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """Return the net's outputs in float32."""
        return torch.as_tensor(model(batch[0])).float()

    def loss(self, model: Model, batch: Batch, turn: Turn) -> Tensor:
        """Return the mean training loss of a batch; see `Task.loss`."""
        outputs = self.outputs(model, batch)
        if turn.meter is not None:
            self.count(outputs.detach(), batch[1], turn.meter)
        return self.criterion(outputs, batch[1])

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Count the batches of a data set in the meter."""
        for batch in batches:
            self.count(self.outputs(model, batch), batch[1], meter)

    def example(self, facts: Mapping[str, Any]) -> Tensor | None:
        """Return two blank images."""
        return torch.zeros(2, facts["in_channels"], facts["image_size"], facts["image_size"])
