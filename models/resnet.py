"""Residual networks for 32-pixel images: a 3x3 stem of stride 1, no max-pooling, torch's default initialisation.

ResNet18 to 101 are the ImageNet stage plans (He et al. 2016, Table 1) on that stem; ResNet20 is the three-stage CIFAR
net of the same paper (Section 4.2), shortcut option A (subsampled identity, zero channels) or B (1x1 convolution).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from torch import nn

from models.blocks import FOUR, Classifier, Residual, conv_bn, projection, stack, zero_padded


def basic(inputs: int, width: int, stride: int, option: str = "B") -> Residual:
    """Two 3x3 convolutions."""
    body = nn.Sequential(*conv_bn(inputs, width, 3, stride), nn.ReLU(), *conv_bn(width, width, 3))
    if option == "A" and (stride != 1 or inputs != width):
        return Residual(body, zero_padded(inputs, width, nn.AvgPool2d(1, stride)))  # every stride-th pixel
    return Residual(body, projection(inputs, width, stride))


def bottleneck(inputs: int, width: int, stride: int, expansion: int = 4, groups: int = 1) -> Residual:
    """1x1, 3x3 (which carries the stride), and 1x1 to `expansion` times the width."""
    outputs = expansion * width
    body = nn.Sequential(
        *(*conv_bn(inputs, width, 1), nn.ReLU()),
        *(*conv_bn(width, width, 3, stride, groups=groups), nn.ReLU()),
        *conv_bn(width, outputs, 1),
    )
    return Residual(body, projection(inputs, outputs, stride))


def _resnet(
    block: Callable[[int, int, int], Residual],
    expansion: int,
    depths: Sequence[int],
    num_classes: int,
    in_channels: int = 3,
) -> Classifier:
    stem = nn.Sequential(*conv_bn(in_channels, FOUR[0], 3), nn.ReLU())
    return Classifier(stem, stack(block, FOUR[0], FOUR, depths, expansion), expansion * FOUR[-1], num_classes)


# Functions of num_classes and in_channels; behind each, its parameters for 10 classes and colour images.
resnet18 = partial(_resnet, basic, 1, (2, 2, 2, 2))  # 11,173,962
resnet34 = partial(_resnet, basic, 1, (3, 4, 6, 3))  # 21,282,122
resnet50 = partial(_resnet, bottleneck, 4, (3, 4, 6, 3))  # 23,520,842
resnet101 = partial(_resnet, bottleneck, 4, (3, 4, 23, 3))  # 42,512,970


def resnet20(num_classes: int, in_channels: int = 3, shortcut: Literal["A", "B"] = "B", layers: int = 20) -> Classifier:
    """ResNet20: 272,474 parameters for 10 classes with shortcut B (AdamSRT's code), 269,722 with A.

    layers: 6n + 2 for n blocks in each of the three stages. ResNet8 with shortcut B has 78,042 parameters.
    """
    stem = nn.Sequential(*conv_bn(in_channels, 16, 3), nn.ReLU())
    stages = stack(partial(basic, option=shortcut), 16, (16, 32, 64), (layers // 6,) * 3)
    return Classifier(stem, stages, 64, num_classes)
