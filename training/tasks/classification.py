"""One class a sample: of many, or of two. Outputs are logits [B, num_classes], targets class indices [B]."""

import torch
from torch import Tensor
from torch.nn import functional as F

from training.meter import Scores
from training.tasks.base import Supervised


class Multiclass(Supervised):
    """Cross-entropy, with label smoothing (Szegedy et al. 2016); measures loss, top1 and top5.

    Where images are mixed the targets are class probabilities [B, num_classes]; a mixed image counts for its larger
    part. With five classes or fewer top5 is 100.
    """

    def __init__(self, num_classes: int, label_smoothing: float = 0.0) -> None:
        """label_smoothing: share of the target's weight that is spread over all classes, in [0, 1)."""
        super().__init__(num_classes)
        self.label_smoothing = label_smoothing

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the batch's mean cross-entropy."""
        return F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return loss, top1 and top5 of each sample."""
        labels = targets.argmax(1) if targets.dim() == 2 else targets
        loss = F.cross_entropy(outputs, targets, reduction="none")
        return {"loss": loss, "top1": hits(outputs, labels, 1), "top5": hits(outputs, labels, 5)}


class Binary(Multiclass):
    """Cross-entropy over two logits, class 1 positive; measures loss, top1, auc and auc_logit1.

    `auc` ranks by the softmax. `auc_logit1` ranks by the raw logit of class 1 alone, as RMSGD's code does: it is no
    monotone function of the probability, so the two differ.
    """

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return loss and top1 of each sample."""
        return {"loss": F.cross_entropy(outputs, targets, reduction="none"), "top1": hits(outputs, targets, 1)}

    def scores(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return what ranks the samples, [B, 2]: the difference orders as the softmax does, and does not saturate."""
        rows = torch.stack((outputs[:, 1] - outputs[:, 0], outputs[:, 1]), 1)
        return rows, targets[:, None].expand(-1, 2)

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return loss, top1 and the two areas."""
        return means | dict(zip(("auc", "auc_logit1"), areas(scores).unbind(), strict=True))


def hits(outputs: Tensor, labels: Tensor, k: int) -> Tensor:
    """Return 100 where the label is among the k largest outputs, else 0: [B]."""
    top = outputs.topk(min(k, outputs.shape[1]), dim=1).indices
    return 100.0 * (top == labels[:, None]).any(1)


def areas(batches: Scores) -> Tensor:
    """Return the area under the ROC curve of each column over all batches, in percent, float64 [K]; see `auc`."""
    scores, targets = (torch.cat(column) for column in zip(*batches, strict=True))
    return auc(scores, targets)


def auc(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the area under the ROC curve of each column, in percent, ties counted half; NaN where one class is absent.

    scores: [N, K], larger means positive; targets: [N, K] of 0 and 1. Returns float64 [K]. It is the Mann-Whitney
    statistic: the share of (positive, negative) pairs that the score puts in order. It stays on the device, where
    scikit-learn would need every score on the host.
    """
    columns = []
    for score, positive in zip(scores.unbind(1), targets.double().unbind(1), strict=True):
        _, place, count = torch.unique(score, return_inverse=True, return_counts=True)
        rank = (count.cumsum(0).double() - (count - 1) / 2)[place]
        positives = positive.sum()
        pairs = positives * (len(score) - positives)
        columns.append(100 * ((rank * positive).sum() - positives * (positives + 1) / 2) / pairs)
    return torch.stack(columns)
