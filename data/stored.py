"""Derived arrays on disk: complete or not there, checked by their SHA-256, memory-mapped; images decoded into one."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.files import digest, read_rgb, stamps

_VERSION = 2  # of decoded images, raised when a file decodes to other pixels; 1 cut 16-bit grey off at 255

Bytes = NDArray[np.uint8]


@contextmanager
def published(final: Path) -> Iterator[Path]:
    """Yield a new path beside `final` to write a file or folder to; it takes that name only once it is complete.

    After an error nothing is left. If another process was first, its result is kept.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    draft = final.with_name(f".{final.name}.{uuid.uuid4().hex}")
    try:
        yield draft
        if not final.exists():
            os.rename(draft, final)
    except OSError:
        if not final.exists():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        draft.unlink(missing_ok=True)


def stored(folder: Path, name: str, shape: tuple[int, ...], fill: Callable[[Bytes], None]) -> tuple[Tensor, str]:
    """Return the uint8 array <folder>/<name>.npy and the SHA-256 of its bytes.

    fill writes into the array, of the given shape, on first use. Raises ValueError naming the folder if the array does
    not match its checksum.
    """
    if not folder.exists():
        with published(folder) as draft:
            draft.mkdir()
            made = np.lib.format.open_memmap(draft / f"{name}.npy", mode="w+", dtype=np.uint8, shape=shape)
            fill(made)
            made.flush()
            (draft / "sha256").write_text(hashlib.sha256(made.data).hexdigest())
    array: Bytes = np.load(folder / f"{name}.npy", mmap_mode="c")  # copy on write: torch wants no read-only memory
    found = hashlib.sha256(array.data).hexdigest()
    if found != (folder / "sha256").read_text():
        raise ValueError(f"{folder}: damaged copy of the {name}; delete this folder and run again")
    return torch.from_numpy(array), found


def stored_images(folder: Path, shape: tuple[int, ...], image: Callable[[int], Bytes]) -> tuple[Tensor, str]:
    """Return the array of images of a folder as `stored` does; shape: [N, C, H, W]; image makes that of an index."""

    def fill(images: Bytes) -> None:
        with ThreadPoolExecutor() as pool:
            for index, pixels in enumerate(pool.map(image, range(len(images)))):
                images[index] = pixels

    return stored(folder, "images", shape, fill)


def decoded(cache: Path, name: str, paths: Mapping[str, Sequence[Path]], side: int) -> tuple[dict[str, Tensor], str]:
    """Return each part's RGB images, uint8 [N, 3, side, side] in the order of its `paths`, and the SHA-256 of all.

    The array is made under `cache` on first use, and again if a file's size or time changes. Raises FileNotFoundError
    or ValueError naming a file that is missing, unreadable or of another size, or a damaged array.
    """
    every = [path for some in paths.values() for path in some]
    folder = cache / f"{name}-{digest([str(_VERSION), *stamps(every)])[:16]}"
    images, found = stored_images(folder, (len(every), 3, side, side), lambda index: _pixels(every[index], side))
    return dict(zip(paths, images.split([len(some) for some in paths.values()]), strict=True)), found


def _pixels(path: Path, side: int) -> Bytes:
    pixels = np.asarray(read_rgb(path))
    if pixels.shape != (side, side, 3):
        raise ValueError(f"{path}: {pixels.shape[1]}x{pixels.shape[0]} pixels, not {side}x{side}")
    return pixels.transpose(2, 0, 1)
