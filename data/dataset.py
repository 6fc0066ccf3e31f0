"""What every data set hands to the trainer."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor


class Split(Protocol):
    """The samples of one part of a data set, addressed by position."""

    def __len__(self) -> int: ...

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images [B, C, H, W], targets [B, ...]) on the device for each int64 tensor of positions [B] (CPU).

        key: None is the evaluation transform; an integer, e.g. an epoch's augmentation key, decides every draw
        together with the sample's position.
        """
        ...


@dataclass(frozen=True)
class Dataset:
    """A data set ready to be trained on. `fingerprint` is the SHA-256 of the bytes used."""

    train: Split
    validation: Split | None
    test: Split
    task: str  # multiclass | multilabel | binary | depth
    num_classes: int
    in_channels: int
    image_size: int
    fingerprint: str


@dataclass(frozen=True)
class Place:
    """Where the files are (root), where derived files may go (cache), and what batches are wanted where."""

    root: Path
    cache: Path
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    workers: int = 0
    facts: dict[str, Any] = field(default_factory=dict)  # what the configuration says the data set is

    @property
    def batch_format(self) -> dict[str, Any]:
        """Return the keywords that data.augment.Transform takes."""
        return {"device": self.device, "dtype": self.dtype, "channels_last": self.channels_last}


def held_out(size: int, fraction: float, seed: int) -> tuple[Tensor, Tensor | None]:
    """Split range(size) into training and validation positions: torch.randperm of the seed, the last share held out.

    This is the rule of AdamSRT's code with seed 0 and fraction 0.05. Raises ValueError if either part is empty.
    """
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    cut = size - round(size * fraction)
    if fraction == 0:
        return torch.arange(size), None
    if not 0 < cut < size:
        raise ValueError(f"data.validation: {fraction} of {size} images leaves an empty part")
    return order[:cut], order[cut:]


def fingerprint(*parts: Tensor | bytes) -> str:
    """Return the SHA-256 of tensors (shapes and bytes) and byte strings."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(f"{part.dtype} {tuple(part.shape)}".encode())
            part = memoryview(part.contiguous().numpy()).cast("B")
        digest.update(part)
    return digest.hexdigest()
