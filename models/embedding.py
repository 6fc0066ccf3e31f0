"""Nets that map an image to a point of the unit sphere, by which images are compared."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import imagenet
from models.resnet import resnet20


class BothPools(nn.Module):
    """Global average pooling plus global max pooling, [B, C, H, W] to [B, C, 1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, 1) + F.adaptive_max_pool2d(x, 1)


class Embedding(nn.Module):
    """A trunk whose last layer gives `embedding` numbers, brought to norm 1; and a proxy for each class that trains.

    trunk: a net with outputs [B, embedding], its last linear layer named `head`. freeze_statistics: batch norm always
    takes its running statistics, those of a pretrained net. proxies: whether a loss learns points of the classes. While
    `held` is true all below the head gets no gradient. `pretrained_part` is that whose weights a file may give.
    """

    def __init__(
        self, trunk: nn.Module, head: str, num_classes: int, embedding: int, proxies: bool, freeze_statistics: bool
    ) -> None:
        super().__init__()
        self.pretrained_part, self.freeze_statistics, self.held = trunk, freeze_statistics, False
        trunk.get_submodule(head).register_forward_pre_hook(self._cut)
        self.proxies = nn.Parameter(torch.empty(num_classes, embedding)) if proxies else None
        if self.proxies is not None:
            nn.init.kaiming_normal_(self.proxies, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]; returns [B, embedding], rows of norm 1."""
        points: Tensor = F.normalize(self.pretrained_part(x), dim=1)
        return points

    def _cut(self, head: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (inputs[0].detach(),) if self.held else inputs

    def train(self, mode: bool = True) -> "Embedding":
        """Set the mode of all but the batch norms whose statistics are frozen."""
        super().train(mode)
        for module in self.modules():
            if self.freeze_statistics and isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def resnet50(
    num_classes: int, in_channels: int = 3, embedding: int = 512, proxies: bool = True, freeze_statistics: bool = True
) -> Embedding:
    """torchvision's ResNet50 with both pools: 24,557,120 parameters at 512 numbers, without the proxies."""
    trunk = imagenet.resnet50(embedding, in_channels)
    trunk.avgpool = BothPools()
    return Embedding(trunk, "fc", num_classes, embedding, proxies, freeze_statistics)


def small(
    num_classes: int, in_channels: int = 3, embedding: int = 64, proxies: bool = True, layers: int = 8
) -> Embedding:
    """The small ResNet of the study, for two CPU cores."""
    trunk = resnet20(embedding, in_channels, layers=layers)
    return Embedding(trunk, "head", num_classes, embedding, proxies, freeze_statistics=False)
