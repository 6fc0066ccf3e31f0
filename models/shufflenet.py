"""ShuffleNetV2 for 32-pixel images (Ma et al. 2018), as RMSGD's CIFAR experiments use it: a 3x3 stem of stride 1."""

import torch
from torch import Tensor, nn

from models.blocks import Classifier, conv_bn

DEPTHS = (3, 7, 3)  # blocks of stride 1 after each stage's down-sampling block
WIDTHS = {0.5: (48, 96, 192, 1024), 1.0: (116, 232, 464, 1024), 1.5: (176, 352, 704, 1024), 2.0: (224, 488, 976, 2048)}


def shuffle(x: Tensor) -> Tensor:
    """Interleave the two halves of the channels."""
    b, c, h, w = x.shape
    return x.reshape(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def _branch(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        *(*conv_bn(inputs, outputs, 1), nn.ReLU()),
        *conv_bn(outputs, outputs, 3, stride, groups=outputs),
        *(*conv_bn(outputs, outputs, 1), nn.ReLU()),
    )


class Unit(nn.Module):
    """Half the channels pass unchanged, half go through 1x1, depthwise 3x3, 1x1; then the halves are interleaved."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = _branch(channels // 2, channels // 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = x.chunk(2, 1)
        return shuffle(torch.cat((kept, self.branch(changed)), 1))


class Down(nn.Module):
    """Both branches see every channel and halve the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.left = nn.Sequential(*conv_bn(inputs, inputs, 3, 2, groups=inputs), *conv_bn(inputs, half, 1), nn.ReLU())
        self.right = _branch(inputs, half, 2)

    def forward(self, x: Tensor) -> Tensor:
        return shuffle(torch.cat((self.left(x), self.right(x)), 1))


def shufflenetv2(num_classes: int, in_channels: int = 3, size: float = 1.5) -> Classifier:
    """CIFAR ShuffleNetV2 of one of four sizes: 2,488,874 parameters for size 1.5 and 10 classes.

    Raises ValueError for another size.
    """
    if size not in WIDTHS:
        raise ValueError(f"model.size: {size!r} is not one of {', '.join(map(str, WIDTHS))}")
    *widths, last = WIDTHS[size]
    blocks: list[nn.Module] = []
    inputs = 24
    for width, depth in zip(widths, DEPTHS, strict=True):
        blocks += [Down(inputs, width), *(Unit(width) for _ in range(depth))]
        inputs = width
    blocks += [*conv_bn(inputs, last, 1), nn.ReLU()]
    stem = nn.Sequential(*conv_bn(in_channels, 24, 3), nn.ReLU())
    return Classifier(stem, nn.Sequential(*blocks), last, num_classes)
