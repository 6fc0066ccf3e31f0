"""ResNeXt29 for 32-pixel images: three stages of three grouped bottlenecks, expansion 2, a 1x1 stem.

Xie et al. 2017 use a 3x3 stem and expansion 4; this is the smaller form that RMSGD's code runs, by name
"ResNeXt29_1x64d": cardinality 1, so without any grouped convolution.
"""

from torch import nn

from models.blocks import Classifier, Residual, conv_bn, projection

EXPANSION = 2


def _block(inputs: int, width: int, cardinality: int, stride: int) -> Residual:
    outputs = EXPANSION * width
    body = nn.Sequential(
        *(*conv_bn(inputs, width, 1), nn.ReLU()),
        *(*conv_bn(width, width, 3, stride, groups=cardinality), nn.ReLU()),
        *conv_bn(width, outputs, 1),
    )
    return Residual(body, projection(inputs, outputs, stride))


def _resnext29(cardinality: int, width: int, num_classes: int, in_channels: int) -> Classifier:
    """Build the net with `cardinality` groups of `width` channels in the first stage, twice as wide each stage."""
    blocks: list[nn.Module] = []
    inputs = 64
    for stage in range(3):
        wide = cardinality * width * 2**stage
        for index in range(3):
            blocks.append(_block(inputs, wide, cardinality, 2 if stage and not index else 1))
            inputs = EXPANSION * wide
    stem = nn.Sequential(*conv_bn(in_channels, 64, 1), nn.ReLU())
    return Classifier(stem, nn.Sequential(*blocks), inputs, num_classes)


def resnext29_1x64d(num_classes: int, in_channels: int = 3) -> Classifier:
    """RMSGD's ResNeXt: 3,458,634 parameters for 10 classes."""
    return _resnext29(1, 64, num_classes, in_channels)


def resnext29_2x64d(num_classes: int, in_channels: int = 3) -> Classifier:
    """Two groups of 64 channels: 9,128,778 parameters for 10 classes."""
    return _resnext29(2, 64, num_classes, in_channels)


def resnext29_4x64d(num_classes: int, in_channels: int = 3) -> Classifier:
    """Four groups of 64 channels: 27,104,586 parameters for 10 classes."""
    return _resnext29(4, 64, num_classes, in_channels)


def resnext29_32x4d(num_classes: int, in_channels: int = 3) -> Classifier:
    """32 groups of 4 channels: 4,774,218 parameters for 10 classes."""
    return _resnext29(32, 4, num_classes, in_channels)
