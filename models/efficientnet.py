"""EfficientNet-B0 for 32-pixel images (Tan & Le 2019), as RMSGD's CIFAR experiments use it.

Against the ImageNet form: the stem keeps the resolution, there is no 1280-channel layer before the classifier, and the
first block holds an expansion layer that it does not use (its parameters count, and get no gradient).
"""

import torch
from torch import Tensor, nn

from models.blocks import Classifier, conv_bn
from models.senet import SqueezeExcitation

# (expansion, channels, blocks, kernel, stride of the first)
STAGES = (
    *((1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 40, 2, 5, 2), (6, 80, 3, 3, 2)),
    *((6, 112, 3, 5, 1), (6, 192, 4, 5, 2), (6, 320, 1, 3, 1)),
)


class DropConnect(nn.Module):
    """In training, drop a sample's whole branch with probability `rate` and scale the others by 1 / (1 - rate)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


class MBConv(nn.Module):
    """Expand by 1x1, filter each channel, gate, project by 1x1; the identity is added where shapes agree."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int, drop: float) -> None:
        super().__init__()
        wide = expansion * inputs
        self.expand = nn.Sequential(*conv_bn(inputs, wide, 1), nn.SiLU())  # unused for expansion 1, as in RMSGD's code
        self.used = expansion != 1
        self.body = nn.Sequential(
            *(*conv_bn(wide, wide, kernel, stride, groups=wide), nn.SiLU()),
            SqueezeExcitation(wide, inputs // 4, nn.SiLU()),
            *conv_bn(wide, outputs, 1),
        )
        self.residual = stride == 1 and inputs == outputs
        self.drop = DropConnect(drop if self.residual else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.drop(self.body(self.expand(x) if self.used else x))
        return x + y if self.residual else y


def efficientnet_b0(
    num_classes: int, in_channels: int = 3, dropout: float = 0.2, drop_connect: float = 0.2
) -> Classifier:
    """CIFAR EfficientNet-B0: 3,599,686 parameters for 10 classes.

    dropout: before the classifier; drop_connect: of the last block, growing linearly with depth from 0.
    """
    blocks: list[nn.Module] = []
    inputs, total = 32, sum(stage[2] for stage in STAGES)
    for expansion, outputs, depth, kernel, first in STAGES:
        for index in range(depth):
            drop = drop_connect * len(blocks) / total
            blocks.append(MBConv(inputs, outputs, expansion, kernel, first if index == 0 else 1, drop))
            inputs = outputs
    stem = nn.Sequential(*conv_bn(in_channels, 32, 3), nn.SiLU())
    net = Classifier(stem, nn.Sequential(*blocks), inputs, num_classes)
    net.head = nn.Sequential(nn.Dropout(dropout), net.head)
    return net
