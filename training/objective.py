"""What a task minimises and what it reports. Torch alone.

An objective gives the training loss of a batch; its meter adds up a data set's metrics, weighted by samples, and
brings nothing to the host before `result`. Accuracies and areas under the curve are in percent. The loss that a
meter reports is plain: without label smoothing, class weights or other terms of the training loss.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from training.depth import Depth
from training.meter import Meter


def auc(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the area under the ROC curve of each column, in percent, ties counted half; NaN where one class is absent.

    scores: [N, K], larger means positive; targets: [N, K] of 0 and 1. Returns float64 [K]. It is the Mann-Whitney
    statistic: the share of (positive, negative) pairs that the score puts in order.
    """
    columns = []
    for score, positive in zip(scores.unbind(1), targets.double().unbind(1), strict=True):
        _, place, count = torch.unique(score, return_inverse=True, return_counts=True)
        rank = (count.cumsum(0).double() - (count - 1) / 2)[place]
        positives = positive.sum()
        pairs = positives * (len(score) - positives)
        columns.append(100 * ((rank * positive).sum() - positives * (positives + 1) / 2) / pairs)
    return torch.stack(columns)


def hits(outputs: Tensor, labels: Tensor, k: int) -> Tensor:
    """Return 100 where the label is among the k largest outputs, else 0: [B]."""
    top = outputs.topk(min(k, outputs.shape[1]), dim=1).indices
    return 100.0 * (top == labels[:, None]).any(1)


class MulticlassMeter(Meter):
    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        labels = targets.argmax(1) if targets.dim() == 2 else targets
        loss = F.cross_entropy(outputs, targets, reduction="none")
        return {"loss": loss, "top1": hits(outputs, labels, 1), "top5": hits(outputs, labels, 5)}


class Multiclass:
    """Cross-entropy, with label smoothing (Szegedy et al. 2016); reports loss, top1 and top5.

    Targets: class indices [B], or class probabilities [B, num_classes] where images are mixed; a mixed image counts
    for its larger part. With five classes or fewer top5 is 100.
    """

    meter: type[Meter] = MulticlassMeter

    def __init__(self, num_classes: int, label_smoothing: float = 0.0) -> None:
        self.num_classes, self.label_smoothing = num_classes, label_smoothing

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the batch's mean loss."""
        return F.cross_entropy(outputs.float(), targets, label_smoothing=self.label_smoothing)


class BinaryMeter(Meter):
    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        # The difference of the logits orders as the softmax does, and does not saturate.
        rows = torch.stack((outputs[:, 1] - outputs[:, 0], outputs[:, 1]), 1)
        self.scores.append((rows, targets[:, None].expand(-1, 2)))
        return {"loss": F.cross_entropy(outputs, targets, reduction="none"), "top1": hits(outputs, targets, 1)}

    def areas(self, scores: Tensor, targets: Tensor) -> dict[str, Tensor]:
        return dict(zip(("auc", "auc_logit1"), auc(scores, targets).unbind(), strict=True))


class Binary(Multiclass):
    """Cross-entropy over two logits, class 1 positive; reports loss, top1, auc and auc_logit1.

    `auc` ranks by the softmax. `auc_logit1` ranks by the raw logit of class 1 alone, as RMSGD's code does: it is no
    monotone function of the probability, so the two differ.
    """

    meter = BinaryMeter


class MultilabelMeter(Meter):
    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        self.scores.append((outputs, targets))
        loss = F.binary_cross_entropy_with_logits(outputs, targets.float(), reduction="none").mean(1)
        right = ((outputs > 0) == (targets > 0)).double().mean(1)  # sigmoid above 1/2
        return {"loss": loss, "label_accuracy": 100 * right}

    def areas(self, scores: Tensor, targets: Tensor) -> dict[str, Tensor]:
        areas = auc(scores, targets)
        return {"auc": areas.nanmean()} | {f"auc_{index}": area for index, area in enumerate(areas.unbind())}


class Multilabel:
    """Binary cross-entropy with logits, averaged over classes; reports loss, label_accuracy, auc and auc_<class>.

    `label_accuracy` is 1 - Hamming loss: the share of (sample, class) cells that are right at probability 1/2. `auc` is
    the mean over the classes that have both kinds. class_weights: [num_classes] or None; see `inverse_frequency`.
    """

    meter = MultilabelMeter

    def __init__(self, num_classes: int, class_weights: Tensor | None = None) -> None:
        self.num_classes, self.class_weights = num_classes, class_weights

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the batch's mean loss; with weights, class c counts class_weights[c] times."""
        weights = None if self.class_weights is None else self.class_weights.to(outputs.device)
        return F.binary_cross_entropy_with_logits(outputs.float(), targets.float(), weight=weights)


def inverse_frequency(targets: Tensor) -> Tensor:
    """Return HistoKT's class weights, training samples / positives of the class: targets [N, K] to [K].

    A class without positives counts as having one.
    """
    return len(targets) / targets.sum(0).clamp(min=1).float()


OBJECTIVES: dict[str, type[Any]] = {
    "multiclass": Multiclass,
    "binary": Binary,
    "multilabel": Multilabel,
    "depth": Depth,
}
