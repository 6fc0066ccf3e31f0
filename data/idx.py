"""Sets in MNIST's idx format: Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, MIT licence), and MNIST for data/biased.py.

torchvision only downloads: its reader takes seconds to import, reads no .gz (as Debian packages them), and meets a
damaged file with an assertion.
"""

import gzip
import hashlib
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data import files, needed
from data.dataset import Dataset, Place
from data.memory import Arrays, Recipe, in_memory, labelled
from data.synthetic import parts, source, test_size

LARGEST = 50_000_000  # bytes; the training images are 47,040,016


def fashion_mnist(
    place: Place, recipe: Recipe, *, verify: bool = True, download: bool = False, synthetic: int = 0
) -> Dataset:
    """Load 60,000 training and 10,000 test images, 28x28, grey, 10 classes; see `read` for the files."""
    return in_memory(place, recipe, *read(place, verify, download, synthetic), num_classes=10)


def read(
    place: Place, verify: bool, download: bool, synthetic: int, name: str = "fashion_mnist"
) -> tuple[Arrays, Arrays]:
    """Read training and test part of `name` in torchvision's layout, Fashion-MNIST else where Debian puts it."""
    root, verify = source(place, name, verify, synthetic, partial(write_synthetic, name=name))
    paths = [root / file for file in needed.FILES[name]]
    if download and not synthetic:
        files.download(name, paths[0].parts[-3], root)
    elif name == "fashion_mnist" and _found(paths[0]) is None and needed.DEBIAN.is_dir():
        paths = [needed.DEBIAN / path.name for path in paths]
    checksums = needed.FILES[name].values() if verify else [None] * 4
    found = [_read(name, path, md5, dims) for path, md5, dims in zip(paths, checksums, (3, 1, 3, 1), strict=True)]
    return _part(found[0], found[1], paths[1]), _part(found[2], found[3], paths[3])


def _part(images: Tensor, labels: Tensor, source: Path) -> Arrays:
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{source}: its images are {images.shape[2]}x{images.shape[1]} pixels, not 28x28")
    return labelled(images[:, None], labels, 10, source)


def _found(path: Path) -> Path | None:
    return next((some for some in (path, path.with_name(f"{path.name}.gz")) if some.is_file()), None)


def _read(name: str, wanted: Path, md5: str | None, dimensions: int) -> Tensor:
    path = _found(wanted)
    if path is None:
        raise needed.missing(name, wanted)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file: {error}") from error
    if len(content) > LARGEST:
        raise ValueError(f"{path}: more than {LARGEST:,} bytes unpacked, which no file of this set has")
    if md5 is not None:
        files.check_digest(str(path), hashlib.md5(content).hexdigest(), md5)
    return parse(content, dimensions, path)


def parse(content: bytes, dimensions: int, path: Path) -> Tensor:
    """Read an idx file of bytes: magic 0x800 + dimensions, each size as big-endian int32, then the values.

    Raises ValueError naming the file if it is anything else, or too short, or too long.
    """
    header = np.frombuffer(content[: 4 * (1 + dimensions)].ljust(4 * (1 + dimensions), b"\0"), ">i4")
    if header[0] != 0x800 + dimensions:
        raise ValueError(f"{path}: not an idx file of {dimensions} dimensions of bytes (magic {header[0]})")
    shape = tuple(int(size) for size in header[1:])
    expected = header.nbytes + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise ValueError(
            f"{path}: {len(content)} bytes where its header {shape} asks for {expected}: truncated or damaged"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header.nbytes).reshape(shape).copy())


def write(path: Path, values: NDArray[np.uint8]) -> None:
    """Write bytes of any shape as an idx file."""
    path.write_bytes(np.array([0x800 + values.ndim, *values.shape], ">i4").tobytes() + values.tobytes())


def write_synthetic(root: Path, size: int, name: str = "fashion_mnist") -> None:
    """Write synthetic idx files with `size` training images."""
    paths = [root / file for file in needed.FILES[name]]
    paths[0].parent.mkdir(parents=True)
    for n, (labels, images) in enumerate(parts((size, test_size(size)), 10, 28, channels=1)):
        write(paths[2 * n], images[..., 0])
        write(paths[2 * n + 1], labels.astype(np.uint8))
