"""Classes without a bias (ReBias, Bahng et al. 2020): a net whose features are independent of those of a biased net.

The net is called with images and returns logits and features of the wanted net, then of the biased one, which learns in
turn to be as dependent as it can.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.meter import Meter, Scores
from training.mixing import Batch
from training.runtime import Model
from training.tasks.base import Supervised, Turn
from training.tasks.classification import hits

BIASED, UNBIASED = 0, 1  # roles, as data/biased.py numbers them
LEAST = 4  # samples of which the dependence can be estimated
CLUSTERS, FEWEST = 9, 10  # textures of a clustering, and images of one kind and texture of which an accuracy is taken


class Net(Protocol):
    """What the task asks of a net."""

    target: nn.Module
    biased: nn.Module


class Debiasing(Supervised):
    """Cross-entropy of both nets, plus HSIC for the wanted one, minus HSIC for the biased one.

    Measures loss and top1 of the wanted net in training, loss, biased_top1 and unbiased_top1 of held-out images. The
    dependence is that of a batch, so accumulation changes it.
    """

    cross_entropy = False

    def __init__(self, num_classes: int, outer: float = 1.0, inner: float = 1.0, sigma: float = 1.0) -> None:
        """outer, inner: weights of the dependence for the wanted and the biased net. sigma: width of both kernels.

        0: of each the median distance of its features in the batch.
        """
        super().__init__(num_classes)
        self.width = None  # it answers with four tensors
        self.weights, self.sigma = {"target": outer, "biased": -inner}, sigma

    def players(self, net: nn.Module) -> dict[str, nn.Module]:
        """Return the two nets; probes observe the wanted one."""
        return {"target": cast(Net, net).target, "biased": cast(Net, net).biased}

    def turns(self, step: int) -> Sequence[str]:
        """Return both: the biased net goes first, as in the authors' code."""
        return ("biased", "target")

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """Return the logits of the wanted net."""
        return torch.as_tensor(model(batch[0])[0]).float()

    def loss(self, model: Model, batch: Batch, turn: Turn) -> Tensor:
        """Return the loss of the player whose turn it is; the wanted net's outputs are counted."""
        logits, features, other_logits, other = (torch.as_tensor(part).float() for part in model(batch[0]))
        if turn.player == "biased":
            logits, features, other = other_logits, other, features
        elif turn.meter is not None:
            self.count(logits.detach(), batch[1], turn.meter)
        dependence = hsic(features, other.detach(), self.sigma)
        return F.cross_entropy(logits, batch[1]) + self.weights[turn.player] * dependence

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return loss and top1 of each sample."""
        return {"loss": F.cross_entropy(outputs, targets, reduction="none"), "top1": hits(outputs, targets, 1)}

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Count the loss, and keep what is right and each image's role."""
        for batch in batches:
            labels, roles = batch[1].unbind(1)
            measured = self.measure(self.outputs(model, batch), labels)
            meter.update({"loss": measured["loss"]}, (measured["top1"][:, None], roles[:, None]))

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return what training measured, or the accuracies by role."""
        if not scores:
            return means
        right, roles = (torch.cat(column) for column in zip(*scores, strict=True))
        names = {"biased_top1": BIASED, "unbiased_top1": UNBIASED}
        return means | {name: right[roles == role].double().mean() for name, role in names.items()}


class TextureDebiasing(Debiasing):
    """The same where images have textures: test targets [B, 5] are a class, a role and three clusters.

    Measures biased_top1 of the images in role BIASED, unbiased_top1, the mean over clusterings and over their cells (a
    class and a cluster) of at least ten images, and imagenet_a_top1 of the others.
    """

    def __init__(self, num_classes: int, outer: float = 1.0, inner: float = 1.0, sigma: float = 0.0) -> None:
        """As `Debiasing`, whose kernels are as wide as the median distance by default."""
        super().__init__(num_classes, outer, inner, sigma)

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Count the loss, and keep what is right and the targets."""
        for batch in batches:
            measured = self.measure(self.outputs(model, batch), batch[1][:, 0])
            meter.update({"loss": measured["loss"]}, (measured["top1"][:, None], batch[1]))

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return what training measured, or the three accuracies."""
        if not scores:
            return means
        right, targets = (torch.cat(column) for column in zip(*scores, strict=True))
        plain, right = targets[:, 1] == BIASED, right[:, 0].double()
        labels, _, *clusterings = targets[plain].unbind(1)
        unbiased = [_cells(right[plain], labels * CLUSTERS + clusters) for clusters in clusterings]
        accuracies = {"biased_top1": right[plain].mean(), "unbiased_top1": torch.stack(unbiased).mean()}
        return means | accuracies | {"imagenet_a_top1": right[~plain].mean()}


def _cells(right: Tensor, cells: Tensor) -> Tensor:
    """Return the mean over cells of the accuracy in each, of those with enough images; of all where none has."""
    counts = torch.bincount(cells)
    enough = counts >= FEWEST
    enough = enough if enough.any() else counts > 0
    return (torch.bincount(cells, weights=right)[enough] / counts[enough]).mean()


def hsic(x: Tensor, y: Tensor, sigma: float) -> Tensor:
    """Return the unbiased estimate of the Hilbert-Schmidt independence criterion (Song et al. 2012, Eq. 5).

    x, y: features of the same samples, [N, D] and [N, E], under kernels exp(-|a - b|^2 / (2 sigma^2)); a sigma of 0
    is the median distance of all pairs of the batch. 0 for fewer than four samples, of which there is no estimate.
    """
    n = len(x)
    if n < LEAST:
        return x.new_zeros(())
    one, other = (_kernel(z, sigma) for z in (x, y))
    total = (
        (one * other).sum() + one.sum() * other.sum() / ((n - 1) * (n - 2)) - 2 * one.sum(0) @ other.sum(0) / (n - 2)
    )
    return total / (n * (n - 3))


def _kernel(x: Tensor, sigma: float) -> Tensor:
    """Return the kernel of all pairs, [N, N], with 0 on its diagonal."""
    squares = x.square().sum(1)
    distances = squares[:, None] + squares - 2 * x @ x.T
    width = sigma**2 if sigma else distances.detach().median()
    return torch.exp(-distances / (2 * width)) * (1 - torch.eye(len(x), device=x.device))
