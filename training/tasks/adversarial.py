"""Classes of attacked images: training on images that an attacker changed, and accuracy on clean and attacked ones."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.meter import Meter
from training.runtime import Model
from training.tasks.base import Batch, Turn
from training.tasks.classification import Multiclass


@dataclass(frozen=True)
class Threat:
    """Projected gradient descent (PGD, Madry et al. 2018): what an attacker may do to the pixels of an image.

    norm: linf, or l2 over all pixels of an image. epsilon: the largest norm of the change, and step_size: of a step,
    both in 1/255 of the pixels' range; a step_size of 0 is 2.5 epsilon / steps. direction: of an l2 step, the gradient,
    or its sign. random_start: from a uniform point of the ball, else from the image.
    """

    norm: str
    epsilon: float
    steps: int
    step_size: float = 0.0
    direction: str = "gradient"
    random_start: bool = False

    def start(self, pixels: Tensor) -> Tensor:
        """Return the first change, from torch's global generators."""
        if not self.random_start:
            return torch.zeros_like(pixels)
        if self.norm == "linf":
            return torch.empty_like(pixels).uniform_(-1, 1) * (self.epsilon / 255)
        radius = torch.rand(len(pixels), 1, 1, 1, device=pixels.device) ** (1 / pixels[0].numel())
        return unit(torch.randn_like(pixels)) * radius * (self.epsilon / 255)

    def moved(self, change: Tensor, gradient: Tensor) -> Tensor:
        """Return a change after a step up the gradient, back in the ball."""
        size, bound = (self.step_size or 2.5 * self.epsilon / max(1, self.steps)) / 255, self.epsilon / 255
        signed = self.norm == "linf" or self.direction == "sign"
        step = gradient.sign() if signed else unit(gradient)
        change = change.add(step, alpha=size)
        if self.norm == "linf":
            return change.clamp(-bound, bound)
        return change.mul((bound / lengths(change).clamp_min(1e-12)).clamp_max(1))


def lengths(x: Tensor) -> Tensor:
    """Return the l2 norm of each image, [B, 1, 1, 1]."""
    found: Tensor = torch.linalg.vector_norm(x, dim=(1, 2, 3), keepdim=True)
    return found


def unit(x: Tensor) -> Tensor:
    """Return each image over its norm; one of zeros stays."""
    return x / lengths(x).clamp_min(1e-12)


class Adversarial(Multiclass):
    """Cross-entropy of attacked images (AdamP, Section 4.3); measures loss, top1, top5 of clean and of attacked images.

    While it trains, all three are of the images that it trains on, the attacked ones. The attack sees the net in
    evaluation mode, as in the code that AdamP names: batch norm and dropout are those of the running statistics, which
    an attack never moves. An optimizer that asks for a loss twice has the images attacked anew at the other weights.
    """

    def __init__(
        self,
        num_classes: int,
        train: Mapping[str, Any],
        test: Mapping[str, Any],
        label_smoothing: float = 0.0,
        normalise: Mapping[str, Any] | None = None,
    ) -> None:
        """train, test: the keywords of `Threat`. normalise: of the data set, mean and std by channel; None: 0 and 1."""
        super().__init__(num_classes, label_smoothing)
        self.train, self.test = Threat(**train), Threat(**test)
        given = normalise or {"mean": [0.0], "std": [1.0]}
        self.mean, self.std = (torch.tensor(given[key], dtype=torch.float32).view(-1, 1, 1) for key in ("mean", "std"))

    def attacked(self, model: Model, batch: Batch, threat: Threat) -> Batch:
        """Return (images, targets) with the images attacked, float32: within the ball, and within the pixels' range."""
        images, targets = batch
        mean, std = self.mean.to(images.device), self.std.to(images.device)
        pixels = images.detach().float() * std + mean
        with evaluating(model.net), torch.enable_grad():
            change = threat.start(pixels)
            for _ in range(threat.steps):
                change.requires_grad_()
                outputs = self.outputs(model.alone(), ((pixels + change - mean) / std, targets))
                loss = F.cross_entropy(outputs, targets, reduction="sum")  # of the sum, so that images are alone
                (gradient,) = torch.autograd.grad(loss, change)
                change = threat.moved(change.detach(), gradient)
                change = (pixels + change).clamp(0, 1) - pixels
        return (pixels + change.detach() - mean) / std, targets

    def loss(self, model: Model, batch: Batch, turn: Turn) -> Tensor:
        """Return the mean loss of the batch's attacked images."""
        return super().loss(model, self.attacked(model, batch, self.train), turn)

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Count clean images and attacked ones."""
        for batch in batches:
            clean = self.measure(self.outputs(model, batch), batch[1])
            hurt = self.measure(self.outputs(model, self.attacked(model, batch, self.test)), batch[1])
            meter.update(clean | {f"attacked_{name}": value for name, value in hurt.items()})


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Inside the block every module is in evaluation mode; after it each is in the mode that it was in."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
