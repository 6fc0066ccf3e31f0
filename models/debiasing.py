"""Two nets side by side (ReBias, Bahng et al. 2020): the one that is wanted, and one that sees nothing but the bias."""

from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from models import imagenet


class Debiased(nn.Module):
    """target and biased: each a trunk, images to features [B, D], and a linear head on it."""

    def __init__(self, target: nn.Sequential, biased: nn.Sequential) -> None:
        super().__init__()
        self.target, self.biased = target, biased

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return logits [B, K] and features [B, D] of the wanted net, then those of the biased one."""
        (ours, head), (theirs, other) = self.target, self.biased
        features, seen = ours(images), theirs(images)
        return head(features), features, other(seen), seen


def conv_net(num_classes: int, in_channels: int, kernel: int, width: int) -> nn.Sequential:
    """Four convolutions of one size, each of twice the channels, with batch norm and ReLU; a mean over the pixels."""
    layers: list[nn.Module] = []
    for narrow, wide in pairwise((in_channels, *(width * 2**depth for depth in range(4)))):
        layers += [nn.Conv2d(narrow, wide, kernel, padding=kernel // 2), nn.BatchNorm2d(wide), nn.ReLU()]
        nn.init.kaiming_normal_(layers[-3].get_parameter("weight"), mode="fan_out", nonlinearity="relu")
    trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(trunk, nn.Linear(8 * width, num_classes))


def conv_pair(
    num_classes: int, in_channels: int = 3, kernel: int = 7, biased_kernel: int = 1, width: int = 16
) -> Debiased:
    """The nets of Biased-MNIST, 531,210 and 12,810 parameters; a kernel of one pixel sees colours alone.

    width: channels of the first layer. Raises ValueError for a kernel without a middle.
    """
    for key, size in (("kernel", kernel), ("biased_kernel", biased_kernel)):
        if size % 2 == 0:
            raise ValueError(f"model.{key}: {size} is not odd")
    return Debiased(*(conv_net(num_classes, in_channels, size, width) for size in (kernel, biased_kernel)))


conv_pair_small = partial(conv_pair, kernel=3, width=8)  # for two CPU cores


class BagBlock(nn.Module):
    """ResNet's basic block with kernels of `kernel` pixels and of one, and without padding (Brendel and Bethge 2019).

    So a feature sees few pixels. Of what goes past the convolutions the right and lower edges are cut.
    """

    def __init__(self, narrow: int, wide: int, stride: int, kernel: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(narrow, wide, kernel, stride, bias=False), nn.BatchNorm2d(wide), nn.ReLU(inplace=True)),
            *(nn.Conv2d(wide, wide, 1, bias=False), nn.BatchNorm2d(wide)),
        )
        same = stride == 1 and narrow == wide
        past = () if same else (nn.Conv2d(narrow, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))
        self.past = nn.Sequential(*past)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        z: Tensor = self.past(x)[:, :, : y.shape[2], : y.shape[3]]
        return nn.functional.relu(y + z)


def bagnet18(num_classes: int, in_channels: int) -> nn.Sequential:
    """BagNet18 as ReBias has it: a feature sees five pixels a side."""
    layers: list[nn.Module] = [nn.Conv2d(in_channels, 64, 1, bias=False), nn.Conv2d(64, 64, 3, bias=False)]
    layers += [nn.BatchNorm2d(64, momentum=0.001), nn.ReLU(inplace=True)]
    for narrow, wide, stride, kernel in ((64, 64, 2, 3), (64, 128, 2, 1), (128, 256, 2, 1), (256, 512, 1, 1)):
        layers += [BagBlock(narrow, wide, stride, kernel), BagBlock(wide, wide, 1, 1)]
    trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for conv in trunk.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(trunk, nn.Linear(512, num_classes))


def resnet18_bagnet18(num_classes: int, in_channels: int = 3) -> Debiased:
    """The nets of 9-Class ImageNet: torchvision's ResNet18, 11,181,129 parameters, and BagNet18."""
    net = imagenet.resnet18(num_classes, in_channels)
    *trunk, head = net.children()
    return Debiased(nn.Sequential(nn.Sequential(*trunk, nn.Flatten()), head), bagnet18(num_classes, in_channels))
