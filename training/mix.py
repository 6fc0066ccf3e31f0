"""Mixing images within a batch."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Mix = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


def unmixed(inputs: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the batch as it is."""
    return inputs, targets


def cutmix(num_classes: int) -> Mix:
    """CutMix (Yun et al. 2019, Algorithm A1) with alpha = 1: each image gets a box of another one of the batch.

    One box a batch, of area 1 - lambda before it is clipped at the border, lambda uniform. inputs [B, C, H, W]; targets
    [B] class indices become [B, num_classes] shares of the area. Under several processes each mixes its own share.
    """

    def mix(inputs: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        height, width = inputs.shape[-2:]
        share, across, down = torch.rand(3, generator=generator).tolist()
        other = torch.randperm(len(inputs), generator=generator).to(inputs.device)
        half_height, half_width = (round(side * (1 - share) ** 0.5) // 2 for side in (height, width))
        top, left = int(down * height) - half_height, int(across * width) - half_width
        rows = slice(max(0, top), min(height, top + 2 * half_height))
        columns = slice(max(0, left), min(width, left + 2 * half_width))
        mixed = inputs.clone()
        mixed[..., rows, columns] = inputs[other][..., rows, columns]
        kept = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        shares = F.one_hot(targets, num_classes).float()
        return mixed, kept * shares + (1 - kept) * shares[other]

    return mix
