"""Any number of classes a sample: outputs are logits [B, num_classes], targets [B, num_classes] of 0 and 1."""

from torch import Tensor
from torch.nn import functional as F

from training.tasks.base import Scores, Supervised
from training.tasks.classification import areas


class Multilabel(Supervised):
    """Binary cross-entropy with logits, averaged over classes; measures loss, label_accuracy, auc and auc_<class>.

    `label_accuracy` is 1 - Hamming loss: the share of (sample, class) cells that are right at probability 1/2. `auc` is
    the mean over the classes that have both kinds.
    """

    def __init__(self, num_classes: int, class_weights: Tensor | None = None) -> None:
        """class_weights: [num_classes] or None; see `inverse_frequency`."""
        super().__init__(num_classes)
        self.class_weights = class_weights

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the batch's mean loss; with weights, class c counts class_weights[c] times."""
        weights = None if self.class_weights is None else self.class_weights.to(outputs.device)
        return F.binary_cross_entropy_with_logits(outputs, targets.float(), weight=weights)

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
