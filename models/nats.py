"""Nets of NATS-Bench's topology search space (Dong et al. 2021), for 32-pixel images: a skeleton around one small cell.

A cell has four nodes, of which the first is its input and the last its output; each is the sum of an operation on every
node before it. NATS-Bench writes it |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, a node after the other: 15,625 cells.
"""

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import reduce

import torch
from torch import Tensor, nn

from models.blocks import Classifier, conv_bn

RESNET = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"


class Nothing(nn.Module):
    """Zeros in the shape of the input."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def convolution(kernel: int, inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """Return a convolution between ReLU and batch norm."""
    return nn.Sequential(nn.ReLU(), *conv_bn(inputs, outputs, kernel, stride))


OPERATIONS: dict[str, Callable[[int], nn.Module]] = {  # by their names there, of the number of channels
    "none": lambda channels: Nothing(),
    "skip_connect": lambda channels: nn.Identity(),
    "nor_conv_1x1": lambda channels: convolution(1, channels, channels),
    "nor_conv_3x3": lambda channels: convolution(3, channels, channels),
    "avg_pool_3x3": lambda channels: nn.AvgPool2d(3, 1, 1, count_include_pad=False),
}


class Cell(nn.Module):
    """operations: the six of a cell, in the order in which it is written."""

    def __init__(self, operations: list[str], channels: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(OPERATIONS[name](channels) for name in operations)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, channels, H, W]; so is what it returns."""
        nodes, operations = [x], iter(self.operations)
        for _ in range(3):
            nodes.append(reduce(torch.add, [next(operations)(node) for node in nodes]))
        return nodes[-1]


class Reduction(nn.Module):
    """Twice the channels and half the side: two 3x3 convolutions beside an average and a 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wider = 2 * channels
        self.body = nn.Sequential(convolution(3, channels, wider, 2), convolution(3, wider, wider))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, wider, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.body(x) + self.shortcut(x)
        return total


def parsed(cell: str) -> list[str]:
    """Return the six operations of a cell. Raises ValueError, one line, for what is none."""
    found = re.findall(r"(\w+)~", cell)
    form = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
    if len(found) != 6 or form.format(*found) != cell:
        raise ValueError(f"model.cell: {cell!r} is not {form.format(*['operation'] * 6)}")
    if unknown := next((name for name in found if name not in OPERATIONS), None):
        nearest = get_close_matches(unknown, OPERATIONS, n=1, cutoff=0.0)[0]
        raise ValueError(f"model.cell: {unknown!r} is not one of {', '.join(OPERATIONS)}; nearest: {nearest}")
    return found


def nats(num_classes: int, in_channels: int = 3, cell: str = RESNET, cells: int = 5, channels: int = 16) -> Classifier:
    """NATS-Bench's net: 73,306 parameters for 10 classes beside those of its cells, 559,386 with the default one.

    cells: in each of three stages. channels: of the first, doubled twice. The default cell is a residual block.
    """
    operations = parsed(cell)
    stages: list[nn.Module] = []
    for stage in range(3):
        width = channels * 2**stage
        stages += [Reduction(width // 2)] if stage else []
        stages += [Cell(operations, width) for _ in range(cells)]
    stages += [nn.BatchNorm2d(width), nn.ReLU()]
    return Classifier(nn.Sequential(*conv_bn(in_channels, channels, 3)), nn.Sequential(*stages), width, num_classes)
