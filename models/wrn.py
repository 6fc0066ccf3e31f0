"""WRN-34-10 (Zagoruyko & Komodakis 2016) as the CIFAR-10 adversarial challenge builds it (Madry et al. 2018).

Pre-activation blocks, LeakyReLU of slope 0.1, and shortcuts without parameters: average pooling and channels of zeros.
Torch's default initialisation, where that code draws normal weights of variance 2 / (kernel area x outputs).
"""

from itertools import count

from torch import Tensor, nn

from models.blocks import Classifier, stack, zero_padded

SLOPE = 0.1


class WideBlock(nn.Module):
    """norm, activation, 3x3, norm, activation, 3x3; the net's first shortcut leaves after the activation."""

    def __init__(self, inputs: int, width: int, stride: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.activate = _activation(inputs)
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False),
            _activation(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )
        pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.shortcut = zero_padded(inputs, width, pool)

    def forward(self, x: Tensor) -> Tensor:
        active = self.activate(x)
        changed: Tensor = self.body(active)
        kept: Tensor = self.shortcut(active if self.first else x)
        return changed + kept


def _activation(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE))


def wrn_34_10(num_classes: int, in_channels: int = 3, depth: int = 34, factor: int = 10) -> Classifier:
    """Wide residual network: 45,901,914 parameters at depth 34, factor 10, 10 classes.

    Raises ValueError for a depth that is not 6n + 4.
    """
    if depth < 10 or depth % 6 != 4:
        raise ValueError(f"model.depth: {depth} is not 6 n + 4 for a positive n, e.g. 16, 28, 34")
    widths, blocks = [16 * factor * scale for scale in (1, 2, 4)], count()
    stages = stack(lambda i, o, stride: WideBlock(i, o, stride, next(blocks) == 0), 16, widths, [(depth - 4) // 6] * 3)
    stem = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
    return Classifier(stem, nn.Sequential(*stages, _activation(widths[-1])), widths[-1], num_classes)
