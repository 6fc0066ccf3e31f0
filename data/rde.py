"""RDE-R, rectangle depth estimation: our re-creation of the SING paper's synthetic data set, generated, never shipped.

The paper's code and data are not public; what is known, and what is ours, is in docs/rde.md.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.dataset import Dataset, Place, fingerprint
from data.rde_scenes import SPLITS, VARIANTS, VERSION, Rules, scenes
from data.stored import stored
from data.synthetic import test_size

_CHUNK = 1000  # samples generated at once by a thread


def rde(
    place: Place,
    *,
    rectangles: Sequence[int] = [3, 10],
    sides: Sequence[int] = [20, 72],
    min_visible: int = 64,
    variant: str = "contact",
    train: int = 100_000,
    validation: int = 5_000,
    test: int = 10_000,
    synthetic: int = 0,
) -> Dataset:
    """Generate, or read back, images of overlapping rectangles and their depths.

    The configuration's image_size is the side of the images, and num_classes the number of levels that depth 1 stands
    for. rectangles, sides: least and most of an image; sides and min_visible in pixels; variant: contact | rank, see
    data.rde_scenes. Targets are float32 [B, 2, H, W]: the number of the rectangle that a pixel shows (0: background),
    and its depth. Raises ValueError naming an option that cannot be.
    """
    side, unit = place.facts.get("image_size", 128), place.facts.get("num_classes", 10)
    if max(rectangles) > unit:
        raise ValueError(f"data.rectangles: {[*rectangles]}; data.num_classes={unit} allows {unit} at most")
    rules = Rules(side, (rectangles[0], rectangles[1]), (sides[0], sides[1]), min_visible, variant)
    counts = (synthetic, *[test_size(synthetic)] * 2) if synthetic else (train, validation, test)
    found = [_samples(place.cache / "rde", rules, split, count) for split, count in zip(SPLITS, counts, strict=True)]
    fit, held, rest = (RdeSplit(samples.to(place.device), rules, unit, place) for samples, _ in found)
    digest = fingerprint(*(digest.encode() for _, digest in found))
    return Dataset(fit, held, rest, "depth", num_classes=unit, in_channels=3, image_size=side, fingerprint=digest)


rde_small = partial(rde, rectangles=[2, 3], sides=[7, 14], min_visible=12)


class RdeSplit:
    """Samples on one device, a row of bytes each: the index map, the colours by channel, the levels."""

    def __init__(self, samples: Tensor, rules: Rules, unit: int, place: Place) -> None:
        self.samples, self.side, self.labels, self.unit = samples, rules.side, rules.most + 1, unit
        self.in_image = VARIANTS[rules.variant].in_image
        self.dtype = place.dtype
        self.layout = torch.channels_last if place.channels_last else torch.contiguous_format

    def __len__(self) -> int:
        return len(self.samples)

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images [B, 3, H, W] in [0, 1] and targets: see `rde`. Nothing is augmented, whatever the key."""
        for positions in order:
            yield self._batch(self.samples.index_select(0, positions.to(self.samples.device, non_blocking=True)))

    def _batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        size, shape = len(rows), (len(rows), -1, self.side, self.side)
        index, colours, levels = torch.split(rows, [self.side**2, 3 * self.labels, self.labels], dim=1)
        full = partial(torch.full, (), device=rows.device)  # to divide by a number is not exact on a GPU
        unit = levels.amax(1, keepdim=True) if self.in_image else full(self.unit)
        numbers = torch.arange(self.labels, device=rows.device, dtype=torch.float32).expand(size, 1, -1)
        table = torch.cat((colours.view(size, 3, -1) / full(255.0), numbers, (levels / unit)[:, None]), 1)
        planes = table.gather(2, index[:, None].long().expand(-1, 5, -1)).view(shape)
        return planes[:, :3].to(self.dtype).contiguous(memory_format=self.layout), planes[:, 3:]


def _samples(cache: Path, rules: Rules, split: str, count: int) -> tuple[Tensor, str]:
    """Return a split's samples, uint8 [count, row], and the SHA-256 of their bytes; generated on first use."""

    def fill(samples: NDArray[np.uint8]) -> None:
        def write(positions: NDArray[np.int64]) -> None:
            made = scenes(rules, split, positions)
            parts = made.index, made.colours.swapaxes(1, 2), made.levels
            samples[positions] = np.concatenate([part.reshape(len(positions), -1) for part in parts], 1)

        with ThreadPoolExecutor() as pool:
            list(pool.map(write, np.array_split(np.arange(count), -(-count // _CHUNK))))

    folder = cache / f"{split}-{count}-{hashlib.sha256(repr((VERSION, rules)).encode()).hexdigest()[:16]}"
    return stored(folder, "samples", (count, rules.side**2 + 4 * (rules.most + 1)), fill)
