"""MobileNetV2 for 32-pixel images (Sandler et al. 2018), as RMSGD's CIFAR experiments use it.

Against the ImageNet form: stem and second stage keep the resolution, ReLU in place of ReLU6, no dropout, and a block of
stride 1 that changes the width has a 1x1 convolution as its shortcut.
"""

from torch import Tensor, nn

from models.blocks import Classifier, conv_bn, projection, stack

WIDTHS, DEPTHS, STRIDES = (24, 32, 64, 96, 160, 320), (2, 3, 4, 3, 3, 1), (1, 2, 2, 1, 2, 1)


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel by 3x3, project by 1x1 without activation; a shortcut where stride is 1."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int = 6) -> None:
        super().__init__()
        wide = expansion * inputs
        self.body = nn.Sequential(
            *(*conv_bn(inputs, wide, 1), nn.ReLU()),
            *(*conv_bn(wide, wide, 3, stride, groups=wide), nn.ReLU()),
            *conv_bn(wide, outputs, 1),
        )
        self.shortcut = projection(inputs, outputs, 1) if stride == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y if self.shortcut is None else y + self.shortcut(x)


def mobilenetv2(num_classes: int, in_channels: int = 3) -> Classifier:
    """CIFAR MobileNetV2: 2,296,922 parameters for 10 classes."""
    first = InvertedResidual(32, 16, 1, expansion=1)
    stages = stack(InvertedResidual, 16, WIDTHS, DEPTHS, strides=STRIDES)
    stem = nn.Sequential(*conv_bn(in_channels, 32, 3), nn.ReLU())
    last = [*conv_bn(WIDTHS[-1], 1280, 1), nn.ReLU()]
    return Classifier(stem, nn.Sequential(first, *stages, *last), 1280, num_classes)
