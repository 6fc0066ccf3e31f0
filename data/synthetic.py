"""Synthetic images that a net can learn from, for sets in the real formats where the real ones are not at hand."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.dataset import Place, uniform
from data.stored import published

VERSION = 1  # raised when the images change
_GRID = 4  # a class is a pattern of 4 x 4 coloured squares


def source(
    place: Place, name: str, verify: bool, synthetic: int, write: Callable[[Path, int], None]
) -> tuple[Path, bool]:
    """Return the folder that a reader reads, laid out as paths.data, and whether to compare checksums and counts.

    synthetic: 0 for the user's files; else the number of training images of a synthetic set, which write(root, number)
    writes below place.cache if it is not there.
    """
    if not synthetic:
        return place.root, verify
    root = place.cache / "synthetic" / f"{name}-{synthetic}-v{VERSION}"
    if not root.exists():
        with published(root) as draft:
            draft.mkdir()
            write(draft, synthetic)
    return root, False


def test_size(size: int) -> int:
    """Return how many test images go with `size` training images."""
    return max(size // 4, 1)


def parts(
    sizes: Iterable[int], num_classes: int, side: int, channels: int = 3
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Yield the labels [N] (the classes in turn) and images [N, side, side, channels] of each part of a set."""
    for key, size in enumerate(sizes):
        labels = np.arange(size) % num_classes
        yield labels, images(np.eye(num_classes)[labels], side, channels, key=key)


def images(mix: NDArray[np.float64], side: int, channels: int = 3, *, key: int) -> NDArray[np.uint8]:
    """Make uint8 [N, side, side, channels]: each the mix of its classes' patterns, with as much noise.

    mix: weight of each class in each image, [N, classes], rows summing to 1. key: of the noise; one a part.
    """
    patterns = uniform(0, torch.arange(mix.shape[1]), _GRID * _GRID * channels).numpy()
    fine = min(side, 32)
    noise = uniform(key, torch.arange(len(mix)), fine * fine * channels).numpy()
    signal = _enlarged((mix @ patterns).reshape(-1, _GRID, _GRID, channels), side)
    return (127 * signal + 128 * _enlarged(noise.reshape(-1, fine, fine, channels), side)).astype(np.uint8)


def _enlarged(grids: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    place = np.arange(side) * grids.shape[1] // side
    return grids[:, place][:, :, place]
