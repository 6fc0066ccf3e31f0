"""ResNeXt29 for 32-pixel images: three stages of three grouped bottlenecks, expansion 2, a 1x1 stem.

Xie et al. 2017 use a 3x3 stem and expansion 4; this is the smaller form that RMSGD's code runs, by name
"ResNeXt29_1x64d": cardinality 1, so without any grouped convolution.
"""

from functools import partial

from torch import nn

from models.blocks import Classifier, conv_bn, stack
from models.resnet import bottleneck

EXPANSION = 2


def _resnext29(cardinality: int, width: int, num_classes: int, in_channels: int = 3) -> Classifier:
    """Build the net with `cardinality` groups of `width` channels in the first stage, twice as wide each stage."""
    widths = [cardinality * width * factor for factor in (1, 2, 4)]
    block = partial(bottleneck, expansion=EXPANSION, groups=cardinality)
    stages = stack(block, 64, widths, (3, 3, 3), EXPANSION)
    stem = nn.Sequential(*conv_bn(in_channels, 64, 1), nn.ReLU())
    return Classifier(stem, stages, EXPANSION * widths[-1], num_classes)


# Functions of num_classes and in_channels; behind each, its parameters for 10 classes and colour images.
resnext29_1x64d = partial(_resnext29, 1, 64)  # 3,458,634: RMSGD's
resnext29_2x64d = partial(_resnext29, 2, 64)  # 9,128,778
resnext29_4x64d = partial(_resnext29, 4, 64)  # 27,104,586
resnext29_32x4d = partial(_resnext29, 32, 4)  # 4,774,218
