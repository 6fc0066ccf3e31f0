"""The ImageNet forms, by torchvision and timm. Both take seconds to import, so they are imported when built."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BlurConv(nn.Module):
    """A strided convolution behind a 3x3 binomial blur of each channel (Zhang 2019): FFCV's BlurPool.

    The blur has no parameters and stride 1; the convolution keeps its stride.
    """

    blur: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("blur", torch.outer(line, line).repeat(conv.in_channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(F.conv2d(x, self.blur, padding=1, groups=len(self.blur)))
        return y


def apply_blurpool(net: nn.Module) -> nn.Module:
    """Blur before every strided convolution of 16 input channels or more, in place: all but the stem's."""
    strided = {
        name: conv
        for name, conv in net.named_modules()
        if isinstance(conv, nn.Conv2d) and max(conv.stride) > 1 and conv.in_channels >= 16
    }
    for name, conv in strided.items():
        net.set_submodule(name, BlurConv(conv))
    return net


def _torchvision(name: str, num_classes: int, in_channels: int, **keywords: Any) -> nn.Module:
    from torchvision import models

    net: nn.Module = getattr(models, name)(num_classes=num_classes, **keywords)
    return net if in_channels == 3 else _restemmed(net, in_channels)


def _restemmed(net: nn.Module, in_channels: int) -> nn.Module:
    """Replace the first convolution by one for another number of channels, drawn as torchvision draws it."""
    name, conv = next((n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d))
    shape = conv.kernel_size[0], conv.stride[0], conv.padding[0]  # squares, in all of torchvision's nets
    stem = nn.Conv2d(in_channels, conv.out_channels, *shape, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    net.set_submodule(name, stem)
    return net


def _resnet(name: str, num_classes: int, in_channels: int = 3, blurpool: bool = False) -> nn.Module:
    net = _torchvision(name, num_classes, in_channels)
    return apply_blurpool(net) if blurpool else net


# Functions of num_classes, in_channels and blurpool; behind each, its parameters for 1,000 classes.
resnet18 = partial(_resnet, "resnet18")  # 11,689,512
resnet34 = partial(_resnet, "resnet34")  # 21,797,672
resnet50 = partial(_resnet, "resnet50")  # 25,557,032
resnet101 = partial(_resnet, "resnet101")  # 44,549,160


def mobilenetv2(num_classes: int, in_channels: int = 3, dropout: float = 0.2) -> nn.Module:
    """torchvision's MobileNetV2: 3,504,872 parameters for 1,000 classes."""
    return _torchvision("mobilenet_v2", num_classes, in_channels, dropout=dropout)


def timm(
    name: str, num_classes: int, in_channels: int = 3, image_size: int = 224, args: Mapping[str, Any] | None = None
) -> nn.Module:
    """Any network of timm, with fresh weights: `model=timm model.name=convnext_tiny model.args={drop_path_rate: 0.1}`.

    A network with a fixed input size (ViT, Swin, ...) is built for `image_size` pixels. Raises ValueError, one line,
    for a name that timm does not know and for arguments that the network does not take.
    """
    import timm as library

    if name == "unnamed":
        raise ValueError("model.name: name a network of timm, e.g. model.name=convnext_tiny")
    if "pretrained" in (args or {}):
        raise ValueError("model.args: pretrained: weights come from a file, model.weights=FILE")
    if not library.is_model(name):
        close = get_close_matches(name, library.list_models(), n=1, cutoff=0.0)
        raise ValueError(f"model.name: timm knows no {name!r}; nearest: {close[0]}")
    keywords = {"num_classes": num_classes, "in_chans": in_channels, **(args or {})}
    config = library.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        keywords.setdefault("img_size", image_size)
    try:
        return library.create_model(name, pretrained=False, **keywords)
    except Exception as error:  # whatever a net's code makes of its arguments
        raise ValueError(f"model.args: timm's {name} cannot be built with {keywords}: {error}") from error
