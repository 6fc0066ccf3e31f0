"""What several families share. Torch's default initialisation throughout, as in the code behind the papers' tables."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FOUR = (64, 128, 256, 512)  # channels of the four stages
Stride = int | tuple[int, int]  # of rows and columns


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: Stride = 1, groups: int = 1, bias: bool = False
) -> list[nn.Module]:
    """Return a "same"-padded convolution and its batch norm, in order."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=bias)
    return [conv, nn.BatchNorm2d(outputs)]


def projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Return option B's shortcut: the identity where shapes agree, else a 1x1 convolution with batch norm."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(*conv_bn(inputs, outputs, 1, stride))


def zero_padded(inputs: int, outputs: int, pool: nn.Module) -> nn.Module:
    """Return a shortcut without parameters: fewer pixels by `pool`, and new channels of zeros on both sides."""
    low = (outputs - inputs) // 2
    return nn.Sequential(pool, nn.ZeroPad3d((0, 0, 0, 0, low, outputs - inputs - low)))


def stack(
    block: Callable[[int, int, int], nn.Module],
    inputs: int,
    widths: Sequence[int],
    depths: Sequence[int],
    expansion: int = 1,
    strides: Sequence[int] = (1, 2, 2, 2),
) -> nn.Sequential:
    """Return stages of blocks made by block(inputs, width, stride), whose outputs have `expansion` times the width.

    depths: blocks in each stage. strides: of the first block of each stage; the others have 1.
    """
    blocks: list[nn.Module] = []
    for width, depth, stride in zip(widths, depths, strides[: len(widths)], strict=True):
        for index in range(depth):
            blocks.append(block(inputs, width, 1 if index else stride))
            inputs = expansion * width
    return nn.Sequential(*blocks)


class Residual(nn.Module):
    """relu(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class Classifier(nn.Module):
    """Stem, stages, global average pooling (the original's 4x4 or 8x8 pooling at 32 pixels), one linear layer."""

    def __init__(self, stem: nn.Module, stages: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.stem, self.stages = stem, stages
        self.head: nn.Module = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]; returns logits [B, num_classes]."""
        features = self.stages(self.stem(x))
        logits: Tensor = self.head(torch.flatten(F.adaptive_avg_pool2d(features, 1), 1))
        return logits
