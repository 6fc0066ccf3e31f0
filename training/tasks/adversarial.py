"""Classes of attacked images: training on images that an attacker changed, and accuracy on clean and attacked ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.distribution import World
from training.meter import Meter
from training.runtime import Model
from training.tasks.base import Batch, Turn
from training.tasks.classification import Multiclass


@dataclass(frozen=True)
class Threat:
    """Projected gradient descent (PGD, Madry et al. 2018): what an attacker may do to the pixels of an image.

    norm: linf, or l2 over all pixels of an image. epsilon: the largest norm of the change, and step_size: of a step,
    both in 1/255 of the pixels' range; a step_size of 0 is 2.5 epsilon / steps. direction: of an l2 step, the gradient,
    or its sign. random_start: from a uniform point of the cube, brought into the
    ball, else from the image.
    """

    norm: str
    epsilon: float
    steps: int
    step_size: float = 0.0
    direction: str = "gradient"
    random_start: bool = False

    def inside(self, change: Tensor) -> Tensor:
        """Return the nearest change in the ball."""
        bound = self.epsilon / 255
        return change.clamp(-bound, bound) if self.norm == "linf" else change.renorm(2, 0, bound)

    def start(self, pixels: Tensor) -> Tensor:
        """Return the first change, from torch's global generators."""
        if not self.random_start:
            return torch.zeros_like(pixels)
        return self.inside(torch.empty_like(pixels).uniform_(-1, 1) * (self.epsilon / 255))

    def moved(self, change: Tensor, gradient: Tensor) -> Tensor:
        """Return a change after a step up the gradient, back in the ball."""
        size = (self.step_size or 2.5 * self.epsilon / max(1, self.steps)) / 255
        if self.norm == "linf" or self.direction == "sign":
            return self.inside(change.add(gradient.sign(), alpha=size))
        return self.inside(change.add(F.normalize(gradient.flatten(1)).view_as(gradient), alpha=size))


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
        change, training = threat.start(pixels), model.net.training
        model.net.eval()
        alone = replace(model, forward=model.net)  # not compiled and not shared: no optimizer gets these gradients
        for _ in range(threat.steps):
            with torch.enable_grad():
                change.requires_grad_()
                outputs = self.outputs(alone, ((pixels + change - mean) / std, targets))
                loss = F.cross_entropy(outputs, targets, reduction="sum")  # of the sum, so that images are alone
                (gradient,) = torch.autograd.grad(loss, change)
            change = threat.moved(change.detach(), gradient)
            change = (pixels + change).clamp(0, 1) - pixels
        model.net.train(training)
        return (pixels + change.detach() - mean) / std, targets

    def after_turn(self, net: nn.Module, player: str, world: World) -> None:
        """Give all processes the same running statistics, or attacks would change with evaluations and resumes."""
        world.copy_buffers(net)

    def loss(self, model: Model, batch: Batch, turn: Turn) -> Tensor:
        """Return the mean loss of the batch's attacked images."""
        return super().loss(model, self.attacked(model, batch, self.train), turn)

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Count clean images and attacked ones."""
        for batch in batches:
            clean = self.measure(self.outputs(model, batch), batch[1])
            hurt = self.measure(self.outputs(model, self.attacked(model, batch, self.test)), batch[1])
            meter.update(clean | {f"attacked_{name}": value for name, value in hurt.items()})
