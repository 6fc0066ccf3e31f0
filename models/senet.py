"""SENet18 for 32-pixel images: ResNet18's plan with pre-activation blocks and squeeze-and-excitation (Hu et al. 2018).

As in the code that RMSGD trains: reduction 16, and no batch norm after the last block.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks import FOUR, Classifier, conv_bn, stack


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate in (0, 1), computed from the channels' means: two 1x1 convolutions with bias."""

    def __init__(self, channels: int, hidden: int, activation: nn.Module) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.squeeze(F.adaptive_avg_pool2d(x, 1)))
        return x * torch.sigmoid(self.excite(hidden))


class PreActivation(nn.Module):
    """norm, ReLU, 3x3, norm, ReLU, 3x3, gate; the shortcut leaves after the first ReLU if it is a convolution."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.activate = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False),
            *(nn.BatchNorm2d(width), nn.ReLU()),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            SqueezeExcitation(width, width // 16, nn.ReLU()),
        )
        changes = stride != 1 or inputs != width
        self.shortcut = nn.Conv2d(inputs, width, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        active = self.activate(x)
        changed: Tensor = self.body(active)
        return changed + (x if self.shortcut is None else self.shortcut(active))


def senet18(num_classes: int, in_channels: int = 3) -> Classifier:
    """CIFAR SENet18: 11,260,354 parameters for 10 classes."""
    stages = stack(PreActivation, 64, FOUR, (2, 2, 2, 2))
    stem = nn.Sequential(*conv_bn(in_channels, 64, 3), nn.ReLU())
    return Classifier(stem, stages, FOUR[-1], num_classes)
