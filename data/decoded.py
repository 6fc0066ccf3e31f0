"""Image files decoded once into one array on disk, memory-mapped from then on."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.files import published, read_rgb

_VERSION = 2  # raised when the same file decodes to other pixels; 1 cut 16-bit grey off at 255


def decoded(cache: Path, name: str, paths: Sequence[Path], side: int) -> tuple[Tensor, str]:
    """Return RGB images uint8 [N, 3, side, side], in the order of `paths`, and the SHA-256 of their pixels.

    The array is made under `cache` on first use, again if a file's size or time changes, and appears there only when
    complete. Raises FileNotFoundError or ValueError naming the file that is missing, unreadable or of another size,
    or the array if it does not match its checksum.
    """
    folder = cache / f"{name}-{_identity(paths)}"
    if not folder.exists():
        with published(folder) as draft:
            draft.mkdir()
            _decode(draft, paths, side)
    images = np.load(folder / "images.npy", mmap_mode="c")  # copy on write: torch wants no read-only memory
    digest = hashlib.sha256(images).hexdigest()
    if digest != (folder / "sha256").read_text():
        raise ValueError(f"{folder}: damaged copy of the decoded images; delete this folder and run again")
    return torch.from_numpy(images), digest


def _identity(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{_VERSION}\n".encode())
    for path in paths:
        try:
            found = path.stat()
        except OSError as error:
            raise FileNotFoundError(f"{path}: image not found ({error.strerror})") from error
        digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _decode(folder: Path, paths: Sequence[Path], side: int) -> None:
    shape = (len(paths), 3, side, side)
    images = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    with ThreadPoolExecutor() as pool:
        for index, pixels in enumerate(pool.map(lambda path: _pixels(path, side), paths)):
            images[index] = pixels
    images.flush()
    (folder / "sha256").write_text(hashlib.sha256(images).hexdigest())


def _pixels(path: Path, side: int) -> NDArray[np.uint8]:
    pixels = np.asarray(read_rgb(path))
    if pixels.shape != (side, side, 3):
        raise ValueError(f"{path}: {pixels.shape[1]}x{pixels.shape[0]} pixels, not {side}x{side}")
    return pixels.transpose(2, 0, 1)
