"""Made-up images that a net can learn from, for sets in the real formats where the real ones are not at hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.dataset import Place
from data.draws import uniform
from data.files import published

VERSION = 1  # raised when the images change
_GRID = 4  # a class is a pattern of 4 x 4 coloured squares


def folder(place: Place, name: str, size: int, write: Callable[[Path, int], None]) -> Path:
    """Return the root of a stand-in with `size` training images, written by `write(root, size)` if it is not there."""
    root = place.cache / "stand_ins" / f"{name}-{size}-v{VERSION}"
    if not root.exists():
        with published(root) as draft:
            draft.mkdir()
            write(draft, size)
    return root


def test_size(size: int) -> int:
    """Return how many test images go with `size` training images."""
    return max(size // 4, 1)


def classes(size: int, num_classes: int) -> NDArray[np.int64]:
    """Return the labels of a stand-in: the classes in turn."""
    return np.arange(size) % num_classes


def images(mix: NDArray[np.floating], side: int, channels: int = 3, *, key: int) -> NDArray[np.uint8]:
    """Make uint8 [N, side, side, channels]: each the mix of its classes' patterns, half drowned in noise.

    mix: weight of each class in each image, [N, classes], rows summing to 1. key: of the noise; one a split.
    """
    patterns = uniform(0, torch.arange(mix.shape[1]), _GRID * _GRID * channels).numpy()
    fine = min(side, 32)
    noise = uniform(key, torch.arange(len(mix)), fine * fine * channels).numpy()
    signal = _enlarged((mix @ patterns).reshape(-1, _GRID, _GRID, channels), side)
    return (127 * signal + 128 * _enlarged(noise.reshape(-1, fine, fine, channels), side)).astype(np.uint8)


def of_class(
    labels: NDArray[np.int64], num_classes: int, side: int, channels: int = 3, *, key: int
) -> NDArray[np.uint8]:
    """Make one image [side, side, channels] for each label."""
    return images(np.eye(num_classes)[labels], side, channels, key=key)


def _enlarged(grids: NDArray[np.floating], side: int) -> NDArray[np.floating]:
    place = np.arange(side) * grids.shape[1] // side
    return grids[:, place][:, :, place]
