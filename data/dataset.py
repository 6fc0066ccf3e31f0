"""What every data set hands to the trainer, and what its samples are drawn by.

Random numbers are made by counting: a draw depends on (key, position, column) and on nothing else. So a sample's
augmentation does not change with the batch size, the order, the rank, the device or the number of workers. The hash is
the finaliser of SplitMix64 (Steele, Lea and Flood 2014). It runs on the CPU whatever the device: a batch's draws are
few, and NumPy makes them 4 times as fast as torch's kernels would.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GOLDEN, _WORD = 0x9E3779B97F4A7C15, (1 << 64) - 1


class Split(Protocol):
    """The samples of one part of a data set, addressed by position."""

    def __len__(self) -> int: ...

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (images [B, C, H, W], targets [B, ...]) on the device for each int64 tensor of positions [B] (CPU);
        a set that is not of images has batches of its own, which its reader describes.

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
    task: str  # the kind of its targets: a name of conf/task
    num_classes: int
    fingerprint: str
    in_channels: int = 0  # of images
    image_size: int = 0


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
    name: str = ""  # of the configuration's data set, for errors
    pretrained: Path | None = None  # file or folder of the weights that the net starts from

    @classmethod
    def of_run(cls, config: Mapping[str, Any], device: torch.device) -> "Place":
        """Return the place of a run: config as composed, its batches for a forward pass in the run's precision."""
        root, cache = (Path(config["paths"][name]) for name in ("data", "cache"))
        dtype = torch.bfloat16 if config["precision"] == "bf16" else torch.float32
        layout, workers, weights = config["channels_last"], config["workers"], config["model"].get("weights")
        return cls(root, cache, device, dtype, layout, workers, pretrained=weights and Path(weights))

    @property
    def batch_format(self) -> dict[str, Any]:
        """Return the keywords that data.augment.Transform takes."""
        return {"device": self.device, "dtype": self.dtype, "channels_last": self.channels_last}


def held_out(size: int, fraction: float, seed: int, train: int = 0) -> tuple[Tensor, Tensor | None]:
    """Split range(size) into training and validation positions as `drawn` does; without a fraction nothing is held out.

    train: how many training positions are kept, the first of the order; 0 keeps all. Raises ValueError where there are
    fewer.
    """
    fit, rest = drawn(size, fraction, seed, "data.validation") if fraction else (shuffled(size, seed), None)
    if train > len(fit):
        raise ValueError(f"data.train: {train}, but there are {len(fit)} images to train on")
    if train:
        return fit[:train], rest
    return torch.arange(size) if rest is None else fit, rest


def drawn(size: int, fraction: float, seed: int, key: str) -> tuple[Tensor, Tensor]:
    """Split range(size) in two: torch.randperm of the seed, the last share drawn. key: of the fraction, for errors.

    This is the rule of AdamSRT's code with seed 0 and fraction 0.05. Raises ValueError for no image drawn, or fewer
    than two to train on.
    """
    order, cut = shuffled(size, seed), size - round(size * fraction)
    if not 1 < cut < size:
        raise ValueError(f"{key}: {fraction} of {size} images leaves {cut} to train on, {size - cut} held out")
    return order[:cut], order[cut:]


def shuffled(size: int, seed: int) -> Tensor:
    """Return range(size) in an order of the seed's."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def fingerprint(*parts: Tensor | bytes) -> str:
    """Return the SHA-256 of tensors (shapes and bytes) and byte strings."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(f"{part.dtype} {tuple(part.shape)}".encode())
            digest.update(part.contiguous().numpy().data)
        else:
            digest.update(part)
    return digest.hexdigest()


def uniform(key: int, positions: Tensor, columns: int) -> Tensor:
    """Draw float64 [B, columns] in [0, 1) for sample positions (int64 [B], on the CPU).

    key: any integer, e.g. an epoch's augmentation key. Column j is the same however many columns are drawn.
    """
    start = _mixed(np.array([key & _WORD], np.uint64))
    rows = _mixed(positions.numpy().astype(np.uint64) + start)
    counters = np.arange(1, columns + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    bits = _mixed(rows[:, None] + counters)
    return torch.from_numpy((bits >> np.uint64(11)) * 2.0**-53)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))
