"""Any number of classes a sample: outputs are logits [B, num_classes], targets [B, num_classes] of 0 and 1."""

from typing import Protocol, cast

from torch import Tensor
from torch.nn import functional as F

from training.meter import Scores
from training.tasks.base import Split, Supervised
from training.tasks.classification import areas


class InMemory(Protocol):
    """A split whose targets are all at hand, [N, num_classes]."""

    targets: Tensor


class Multilabel(Supervised):
    """Binary cross-entropy with logits, averaged over classes; measures loss, label_accuracy, auc and auc_<class>.

    `label_accuracy` is 1 - Hamming loss: the share of (sample, class) cells that are right at probability 1/2. `auc` is
    the mean over the classes that have both kinds.
    """

    cross_entropy = False

    def __init__(self, num_classes: int, class_weights: bool = False) -> None:
        """class_weights: weigh the classes in the training loss, see `inverse_frequency`."""
        super().__init__(num_classes)
        self.weighs = class_weights
        self.weights: Tensor | None = None

    def prepare(self, train: Split) -> None:
        """Take the class weights, [num_classes], from the targets of a split that is held in memory."""
        self.weights = inverse_frequency(cast(InMemory, train).targets) if self.weighs else None

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the batch's mean loss; with weights, class c counts weights[c] times."""
        return F.binary_cross_entropy_with_logits(outputs, targets.float(), weight=self.weights)

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return loss and label_accuracy of each sample."""
        loss = F.binary_cross_entropy_with_logits(outputs, targets.float(), reduction="none").mean(1)
        right = ((outputs > 0) == (targets > 0)).double().mean(1)  # sigmoid above 1/2
        return {"loss": loss, "label_accuracy": 100 * right}

    def scores(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits, which rank the samples of each class."""
        return outputs, targets

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return loss, label_accuracy, and the areas of the classes and their mean."""
        each = areas(scores)
        return means | {"auc": each.nanmean()} | {f"auc_{index}": area for index, area in enumerate(each.unbind())}


def inverse_frequency(targets: Tensor) -> Tensor:
    """Return HistoKT's class weights, training samples / positives of the class: targets [N, K] to [K].

    A class without positives counts as having one.
    """
    return len(targets) / targets.sum(0).clamp(min=1).float()
