"""Sounds: a word of each, or any number of tags. Inputs are waveforms [B, T], or several windows of each, [B, K, T]."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from training.meter import Scores
from training.mixing import Batch
from training.runtime import Model
from training.tasks.classification import Multiclass, areas
from training.tasks.multilabel import Multilabel


def blank(facts: Mapping[str, Any]) -> Tensor:
    """Return two windows of silence."""
    return torch.zeros(2, facts["samples"])


class Keywords(Multiclass):
    """Cross-entropy of a word in each sound; measures loss, top1 and top5."""

    def example(self, facts: Mapping[str, Any]) -> Tensor:
        return blank(facts)


class Tagging(Multilabel):
    """Binary cross-entropy of the tags of each sound; measures loss, label_accuracy, auc, pr_auc and f1.

    Probabilities of several windows are averaged. auc and pr_auc (scikit-learn's average precision) are means over the
    tags that have both kinds. f1 is of all (sound, tag) cells together, where a tag is found from probability
    `threshold` on: AdamP (E.5) prints 0.1, and not how F1 is averaged; DCASE 2017 counts so.
    """

    def __init__(self, num_classes: int, threshold: float) -> None:
        """num_classes: of the data set, its tags."""
        super().__init__(num_classes)
        self.threshold = threshold

    def example(self, facts: Mapping[str, Any]) -> Tensor:
        return blank(facts)

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """Return logits [B, num_classes], those of the mean probability where a sound has several windows."""
        sounds = batch[0]
        logits = super().outputs(model, (sounds.flatten(0, -2),))
        return logits if sounds.dim() == 2 else logits.view(*sounds.shape[:2], -1).sigmoid().mean(1).logit(1e-7)

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return loss, label_accuracy, and what the scores of all sounds together say."""
        logits, tags = (torch.cat(column) for column in zip(*scores, strict=True))
        found = logits.sigmoid() >= self.threshold
        f1 = 200 * (found & (tags > 0)).sum() / (found.sum() + tags.sum())
        return means | {"auc": areas(scores).nanmean(), "pr_auc": average_precision(logits, tags), "f1": f1}


def average_precision(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over columns with positives of scikit-learn's average precision, in percent; [N, K] both."""
    from sklearn.metrics import average_precision_score

    columns = targets.any(0)
    found = average_precision_score(
        targets[:, columns].cpu().numpy(), scores[:, columns].cpu().numpy(), average="macro"
    )
    return torch.tensor(100 * float(found), dtype=torch.float64, device=scores.device)
