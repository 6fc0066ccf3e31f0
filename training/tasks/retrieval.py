"""Image retrieval: points on the unit sphere, near each other for images of one class; recall of classes never seen.

The net returns points [B, D]; it has `proxies`, a point of each training class that it learns, or None, and `held`,
whether its trunk gets no gradient. Targets are classes [B], or [B, 2] with roles (data/retrieval.py).
"""

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from training.meter import Meter, Scores
from training.mixing import Batch
from training.runtime import Model
from training.tasks.base import Split, Supervised, Turn

QUERY, GALLERY = 1, 2
CHUNK = 1024  # queries whose distances are held at once
Criterion = Callable[[Tensor, Tensor], Tensor]


class Net(Protocol):
    """What the task asks of a net, beside its points."""

    proxies: nn.Parameter | None
    held: bool


class Retrieval(Supervised):
    """Triplets (Schroff et al. 2015, semi-hard) or ProxyAnchor (Kim et al. 2020); measures loss and recall_at_1.

    recall_at_1: percentage of queries whose nearest other image is of their class. The loss is over a batch's pairs,
    so accumulation changes it; of held-out classes there is none. The trunk can be held in one process alone.
    """

    def __init__(self, num_classes: int, loss: str, margin: float, alpha: float, held_epochs: int) -> None:
        """loss: triplet or proxy_anchor, whose scale is alpha. held_epochs: the first, in which the trunk is held.

        Raises ImportError where pytorch-metric-learning is missing.
        """
        if find_spec("pytorch_metric_learning") is None:
            raise ImportError("task=retrieval: pytorch-metric-learning not found; pip install pytorch-metric-learning")
        super().__init__(num_classes)
        self.width = None  # the net says how many numbers a point has
        self.kind, self.margin, self.alpha = loss, margin, alpha
        self.held_epochs, self.held, self.epoch_steps = held_epochs, held_epochs > 0, 1

    def players(self, net: nn.Module) -> dict[str, nn.Module]:
        """Return the whole net. Raises ValueError for a net without the proxies of its loss, or with idle ones."""
        if (getattr(net, "proxies", None) is not None) is not (self.kind == "proxy_anchor"):
            raise ValueError(f"model.proxies: task.loss={self.kind} needs {str(self.kind == 'proxy_anchor').lower()}")
        return super().players(net)

    def order(self, split: Split, batch_size: int, generator: torch.Generator) -> Sequence[Tensor]:
        """Return an epoch's batches, and note how many there are."""
        batches = super().order(split, batch_size, generator)
        self.epoch_steps = len(batches)
        return batches

    def turns(self, step: int) -> Sequence[str]:
        """Return the one player; the trunk is held in the first epochs."""
        self.held = step < self.held_epochs * self.epoch_steps
        return super().turns(step)

    def loss(self, model: Model, batch: Batch, turn: Turn) -> Tensor:
        """Return the batch's loss, which counts for each of its images."""
        net = cast(Net, model.net)
        net.held = self.held
        points = self.outputs(model, batch)
        loss = self.metric_loss(net.proxies, points.shape[1])(points, batch[1])
        if turn.meter is not None:
            turn.meter.update({"loss": loss.detach().expand(len(points))})
        return loss

    def metric_loss(self, proxies: nn.Parameter | None, width: int) -> Criterion:
        """Return the loss of points [B, width] and classes [B]; it learns the net's proxies."""
        from pytorch_metric_learning import losses, miners

        if proxies is not None:
            anchor = losses.ProxyAnchorLoss(self.num_classes, width, self.margin, self.alpha)
            anchor.proxies = proxies
            return cast(Criterion, anchor)
        miner = miners.TripletMarginMiner(self.margin, "semihard")
        triplets = losses.TripletMarginLoss(self.margin)
        return lambda points, targets: torch.as_tensor(triplets(points, targets, miner(points, targets)))

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Keep every image's point, class and role."""
        for batch in batches:
            points, targets = self.outputs(model, batch), batch[1]
            kept = targets if targets.dim() == 2 else torch.stack((targets, torch.zeros_like(targets)), 1)
            meter.update({"images": torch.ones(len(points), device=points.device)}, (points, kept))

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return the loss of training, or the recall of an evaluation."""
        if not scores:
            return means
        points, targets = (torch.cat(column) for column in zip(*scores, strict=True))
        return {"recall_at_1": recall(points, *targets.unbind(1))}


def recall(points: Tensor, labels: Tensor, roles: Tensor) -> Tensor:
    """Return the percentage of queries whose nearest image of the gallery, by cosine, has their label; float64.

    points: [N, D], rows of norm 1. roles: 0 both, 1 a query, 2 of the gallery. No image is its own nearest one.
    """
    numbers = torch.arange(len(points), device=points.device)
    queries, gallery = numbers[roles != GALLERY], numbers[roles != QUERY]
    right = torch.zeros((), dtype=torch.float64, device=points.device)
    for chunk in queries.split(CHUNK):
        cosines = points[chunk] @ points[gallery].T
        cosines.masked_fill_(chunk[:, None] == gallery, -torch.inf)
        right += (labels[gallery[cosines.argmax(1)]] == labels[chunk]).sum()
    return 100 * right / len(queries)
