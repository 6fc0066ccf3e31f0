"""DCGAN (Radford et al. 2016): a generator and a critic in one net, and a classifier whose features compare images.

The critic has no sigmoid, as WGAN's (Arjovsky et al. 2017).
"""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.resnet import resnet20


class Players(nn.Module):
    """generator: points [B, latent, 1, 1] to images in [-1, 1], of `side` pixels; critic: these to scores [B, 1, 1, 1].

    classifier: its features are those before its head. It never learns, and `pretrained_part` is its other name, so
    that model.weights gives its weights.
    """

    def __init__(self, generator: nn.Module, critic: nn.Module, classifier: nn.Module, latent: int, side: int) -> None:
        super().__init__()
        self.generator, self.critic, self.latent, self.side = generator, critic, latent, side
        self.pretrained_part = classifier.requires_grad_(False)

    def forward(self, points: Tensor, images: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the critic's scores [B] of generated images, and of `images`: then the generator gets no gradient."""
        made = self.generator(points[..., None, None])
        real = None if images is None else self.critic(images).flatten()
        return self.critic(made if images is None else made.detach()).flatten(), real

    def features(self, images: Tensor) -> Tensor:
        """Return the classifier's features of images, [B, 64]."""
        net = self.pretrained_part
        maps: Tensor = net.get_submodule("stages")(net.get_submodule("stem")(images))
        return torch.flatten(F.adaptive_avg_pool2d(maps, 1), 1)

    def train(self, mode: bool = True) -> "Players":
        """Set the mode of both players; the classifier stays in evaluation mode."""
        super().train(mode)
        self.pretrained_part.eval()
        return self


def dcgan(
    num_classes: int, in_channels: int = 3, side: int = 64, latent: int = 100, width: int = 64, layers: int = 8
) -> Players:
    """DCGAN for images of `side` pixels: 3,576,704 and 2,765,568 parameters at 64 pixels in colour; ResNet8 beside it.

    width: channels of the layer at half the side; each further halving doubles them. layers: of the classifier. Raises
    ValueError for a side that is no power of 2.
    """
    halvings = side.bit_length() - 3  # down to 4 pixels
    if side != 1 << (halvings + 2) or halvings < 1:
        raise ValueError(f"model.side: {side} is not a power of 2 from 8 on")
    widths = [width * 2**level for level in range(halvings)]
    down: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    up: list[nn.Module] = [nn.ConvTranspose2d(latent, widths[-1], 4, bias=False), nn.BatchNorm2d(widths[-1]), nn.ReLU()]
    for narrow, wide in pairwise(widths):
        down += [nn.Conv2d(narrow, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
    for wide, narrow in pairwise(reversed(widths)):
        up += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()]
    up += [nn.ConvTranspose2d(width, in_channels, 4, 2, 1, bias=False), nn.Tanh()]
    down += [nn.Conv2d(widths[-1], 1, 4, bias=False)]
    players = nn.Sequential(*up), nn.Sequential(*down)
    for module in (module for player in players for module in player.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    with torch.random.fork_rng(devices=[]):  # fresh features are the same for every seed: distances stay comparable
        torch.manual_seed(0)
        classifier = resnet20(num_classes, in_channels, layers=layers)
    return Players(*players, classifier, latent, side)


dcgan_small = partial(dcgan, side=32, width=16)
