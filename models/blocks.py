"""What several families share. Torch's default initialisation throughout, as in the code behind the papers' tables."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FOUR = (64, 128, 256, 512)  # channels of the four stages


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False
) -> list[nn.Module]:
    """Return a "same"-padded convolution and its batch norm, in order."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=bias)
    return [conv, nn.BatchNorm2d(outputs)]


def projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Return option B's shortcut: the identity where shapes agree, else a 1x1 convolution with batch norm."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(*conv_bn(inputs, outputs, 1, stride))


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
        self.stem, self.stages, self.head = stem, stages, nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]; returns logits [B, num_classes]."""
        features = self.stages(self.stem(x))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(features, 1), 1))
