"""Images made from noise, by a generator against a Wasserstein critic (WGAN, Arjovsky et al. 2017).

The net is called with points [B, latent], and images [B, C, H, W] in [-1, 1] or none, and returns the critic's scores
of both. Two optimizers train it: the critic's steps on every batch, the generator's on every `critic_steps`-th.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.distribution import World
from training.meter import Meter, Scores
from training.mixing import Batch
from training.runtime import Model
from training.tasks.base import Task, Turn


class Net(Protocol):
    """What the task asks of a net, beside its scores."""

    generator: nn.Module
    critic: nn.Module
    latent: int
    side: int

    def features(self, images: Tensor) -> Tensor:
        """Return the features [B, D] of a classifier that does not learn."""


class Generation(Task):
    """Measures loss, of the critic: minus its estimate of the distance; and frechet, in a classifier's features.

    frechet: |m - m'|^2 + tr(C + C' - 2 (C C')^1/2) of the means and covariances of held-out images and of as many
    generated ones. It is not FID, whose features are another net's, and is comparable under one classifier alone.
    """

    def __init__(self, critic_steps: int = 5, clip: float = 0.01) -> None:
        """clip: largest absolute value of the critic's parameters after its step."""
        self.critic_steps, self.clip = critic_steps, clip

    def players(self, net: nn.Module) -> dict[str, nn.Module]:
        """Return the two players; probes observe the generator."""
        both = cast(Net, net)
        return {"generator": both.generator, "critic": both.critic}

    def turns(self, step: int) -> Sequence[str]:
        """Return whose turn it is: the generator follows the last of its critic's steps."""
        return ("critic",) if (step + 1) % self.critic_steps else ("critic", "generator")

    @torch.no_grad()
    def after_turn(self, net: nn.Module, player: str, world: World) -> None:
        """Clip the critic's parameters."""
        for parameter in net.parameters() if player == "critic" else ():
            parameter.clamp_(-self.clip, self.clip)

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """Return the critic's scores of images."""
        points = torch.zeros(len(batch[0]), cast(Net, model.net).latent, device=batch[0].device)
        return torch.as_tensor(model(points, resized(model, batch))[1]).float()

    def loss(self, model: Model, batch: Batch, turn: Turn) -> Tensor:
        """Return the loss of the player whose turn it is; the critic's is counted."""
        points = noise(model, batch)
        if turn.player == "generator":
            return -torch.as_tensor(model(points)[0]).float().mean()
        made, real = (torch.as_tensor(scores).float() for scores in model(points, resized(model, batch)))
        if turn.meter is not None:
            turn.meter.update({"loss": (made - real).detach()})
        return (made - real).mean()

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Keep the features of images, and of as many that are generated."""
        net = cast(Net, model.net)
        for batch in batches:
            made = net.generator(noise(model, batch)[..., None, None])
            real = resized(model, batch)
            meter.update(
                {"images": torch.ones(len(real), device=real.device)}, (net.features(real), net.features(made))
            )

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return the loss of training, or the distance of an evaluation."""
        if not scores:
            return means
        return {"frechet": frechet(*(torch.cat(column).double() for column in zip(*scores, strict=True)))}


def resized(model: Model, batch: Batch) -> Tensor:
    """Return a batch's images with the generator's number of pixels."""
    return F.interpolate(batch[0].float(), size=cast(Net, model.net).side, mode="bilinear", align_corners=False)


def noise(model: Model, batch: Batch) -> Tensor:
    """Draw a normal point for each image of a batch, from torch's global generators."""
    return torch.randn(len(batch[0]), cast(Net, model.net).latent, device=batch[0].device)


def frechet(one: Tensor, other: Tensor) -> Tensor:
    """Return the squared Frechet distance of two normal distributions with the moments of rows [N, D], [M, D]."""
    means, covariances = zip(*((x.mean(0), torch.cov(x.T).reshape(x.shape[1], -1)) for x in (one, other)), strict=True)
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    shared: Tensor = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp_min(0).sqrt().sum()
    apart: Tensor = (means[0] - means[1]).square().sum() + covariances[0].trace() + covariances[1].trace() - 2 * shared
    return apart
