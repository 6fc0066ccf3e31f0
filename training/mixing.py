"""Batches of any structure: split into pieces; and batches of images, mixed."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Batch = Any  # tensors whose first dimension is the sample, in tuples, lists and dicts, however deep
Mix = Callable[[Batch, torch.Generator], Batch]


def mapped(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Return a batch of the same structure with every tensor changed; what is no tensor stays."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, dict):
        return {key: mapped(part, change) for key, part in batch.items()}
    return type(batch)(mapped(part, change) for part in batch) if isinstance(batch, list | tuple) else batch


def split(batch: Batch, pieces: int) -> list[Batch]:
    """Part a batch into pieces of its structure, of sizes that differ by one at most; the larger come first.

    split({"image": torch.zeros(5, 3), "length": torch.zeros(5)}, 2)    # two dicts, of 3 and of 2 samples
    """

    def piece(number: int) -> Batch:
        return mapped(batch, lambda tensor: tensor.tensor_split(pieces)[number])

    return [piece(number) for number in range(pieces)]


def build(name: str, num_classes: int) -> Mix:
    """Return what mixes a batch: `none` leaves it alone, `cutmix` is CutMix."""
    return {"none": unmixed, "cutmix": cutmix(num_classes)}[name]


def unmixed(batch: Batch, generator: torch.Generator) -> Batch:
    """Return the batch as it is."""
    return batch


def cutmix(num_classes: int) -> Mix:
    """CutMix (Yun et al. 2019, Algorithm A1) with alpha = 1: each image gets a box of another one of the batch.

    One box a batch, of area 1 - lambda before it is clipped at the border, lambda uniform. The batch is (images
    [B, C, H, W], class indices [B]); the indices become [B, num_classes] shares of the area. Under several processes
    each mixes its own share.
    """

    def mix(batch: Batch, generator: torch.Generator) -> Batch:
        inputs, targets = batch
        rows, columns = _box(inputs.shape[-2], inputs.shape[-1], generator)
        return pasted(inputs, targets, torch.randperm(len(inputs), generator=generator), rows, columns, num_classes)

    return mix


def _box(height: int, width: int, generator: torch.Generator) -> tuple[slice, slice]:
    share, across, down = torch.rand(3, generator=generator).tolist()
    half_height, half_width = (round(side * (1 - share) ** 0.5) // 2 for side in (height, width))
    top, left = int(down * height) - half_height, int(across * width) - half_width
    rows = slice(max(0, top), min(height, top + 2 * half_height))
    return rows, slice(max(0, left), min(width, left + 2 * half_width))


def pasted(
    inputs: Tensor, targets: Tensor, other: Tensor, rows: slice, columns: slice, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Return a batch whose images have the box (rows, columns) of those at `other` [B], and the shares of classes."""
    other = other.to(inputs.device, non_blocking=True)  # or the host would wait for the step before
    mixed = inputs.clone()
    mixed[..., rows, columns] = inputs[other][..., rows, columns]
    kept = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / inputs.shape[-2:].numel()
    shares = F.one_hot(targets, num_classes).float()
    return mixed, kept * shares + (1 - kept) * shares[other]
