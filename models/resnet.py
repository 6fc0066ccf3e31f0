"""Residual networks for 32-pixel images: a 3x3 stem of stride 1, no max-pooling, torch's default initialisation.

ResNet18 to 101 are the ImageNet stage plans (He et al. 2016, Table 1) on that stem; ResNet20 is the three-stage CIFAR
net of the same paper (Section 4.2), shortcut option A (subsampled identity, zero channels) or B (1x1 convolution).
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks import FOUR, Classifier, Residual, conv_bn, projection


class SubsamplePad(nn.Module):
    """Option A's shortcut: every `stride`-th pixel, and new channels of zeros on both sides. No parameters."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.extra = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        low = self.extra // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, low, self.extra - low))


class BasicBlock(Residual):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, option: str = "B") -> None:
        body = nn.Sequential(*conv_bn(inputs, width, 3, stride), nn.ReLU(), *conv_bn(width, width, 3))
        changes = stride != 1 or inputs != width
        subsampled = option == "A" and changes
        shortcut = SubsamplePad(inputs, width, stride) if subsampled else projection(inputs, width, stride)
        super().__init__(body, shortcut)


class Bottleneck(Residual):
    """1x1, 3x3 (which carries the stride), and 1x1 to four times the width."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        outputs = self.expansion * width
        body = nn.Sequential(
            *(*conv_bn(inputs, width, 1), nn.ReLU()),
            *(*conv_bn(width, width, 3, stride), nn.ReLU()),
            *conv_bn(width, outputs, 1),
        )
        super().__init__(body, projection(inputs, outputs, stride))


def _resnet(
    block: type[BasicBlock] | type[Bottleneck],
    depths: Sequence[int],
    widths: Sequence[int],
    num_classes: int,
    in_channels: int,
    **block_options: str,
) -> Classifier:
    stem = nn.Sequential(*conv_bn(in_channels, widths[0], 3), nn.ReLU())
    blocks: list[nn.Module] = []
    inputs = widths[0]
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        for index in range(depth):
            stride = 2 if stage > 0 and index == 0 else 1
            blocks.append(block(inputs, width, stride, **block_options))
            inputs = width * block.expansion
    return Classifier(stem, nn.Sequential(*blocks), inputs, num_classes)


def resnet18(num_classes: int, in_channels: int = 3) -> Classifier:
    """CIFAR ResNet18: 11,173,962 parameters for 10 classes."""
    return _resnet(BasicBlock, (2, 2, 2, 2), FOUR, num_classes, in_channels)


def resnet34(num_classes: int, in_channels: int = 3) -> Classifier:
    """CIFAR ResNet34: 21,282,122 parameters for 10 classes."""
    return _resnet(BasicBlock, (3, 4, 6, 3), FOUR, num_classes, in_channels)


def resnet50(num_classes: int, in_channels: int = 3) -> Classifier:
    """CIFAR ResNet50: 23,520,842 parameters for 10 classes."""
    return _resnet(Bottleneck, (3, 4, 6, 3), FOUR, num_classes, in_channels)


def resnet101(num_classes: int, in_channels: int = 3) -> Classifier:
    """CIFAR ResNet101: 42,512,970 parameters for 10 classes."""
    return _resnet(Bottleneck, (3, 4, 23, 3), FOUR, num_classes, in_channels)


def resnet20(num_classes: int, in_channels: int = 3, shortcut: Literal["A", "B"] = "B") -> Classifier:
    """ResNet20: 272,474 parameters for 10 classes with shortcut B (AdamSRT's code), 269,722 with A."""
    return _resnet(BasicBlock, (3, 3, 3), (16, 32, 64), num_classes, in_channels, option=shortcut)
