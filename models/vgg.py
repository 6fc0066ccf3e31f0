"""VGG16 with batch norm for 32-pixel images (Simonyan & Zisserman 2015, configuration D), its head one linear layer."""

from itertools import pairwise

from torch import nn

from models.blocks import Classifier, conv_bn

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def vgg16_bn(
    num_classes: int, in_channels: int = 3, conv_bias: bool = True, width_multiplier: float = 1.0
) -> Classifier:
    """VGG16-BN: 14,728,266 parameters for 10 classes with convolution biases (RMSGD), 14,724,042 without (AdamSRT).

    width_multiplier: of the channels of every layer.

    An image too small for a fifth halving (under 32 pixels) is not halved further once it is one pixel wide.
    """
    widths = [in_channels, *(round(width_multiplier * channels) for channels, depth in STAGES for _ in range(depth))]
    ends = {sum(depth for _, depth in STAGES[: stage + 1]) for stage in range(len(STAGES))}
    layers: list[nn.Module] = []
    for index, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        layers += [*conv_bn(inputs, outputs, 3, bias=conv_bias), nn.ReLU()]
        if index in ends:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return Classifier(nn.Identity(), nn.Sequential(*layers), widths[-1], num_classes)
