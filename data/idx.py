"""Sets in MNIST's idx format: Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, MIT licence).

torchvision only downloads: its reader takes seconds to import, reads no .gz (as Debian packages them), and meets a
damaged file with an assertion.
"""

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data import files, needed
from data.dataset import Dataset, Place
from data.memory import Arrays, Recipe, in_memory, labelled
from data.synthetic import parts, source, test_size

FOLDER = Path("FashionMNIST", "raw")
LARGEST = 50_000_000  # bytes; the training images are 47,040,016
MD5 = {  # of the uncompressed files: the .gz of the site and of Debian differ in their headers
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}


def fashion_mnist(
    place: Place, recipe: Recipe, *, verify: bool = True, download: bool = False, synthetic: int = 0
) -> Dataset:
    """Load 60,000 training and 10,000 test images, 28x28, grey, 10 classes.

    Looked for in <root>/FashionMNIST/raw (torchvision's layout), then where Debian's package puts it.
    """
    root, verify = source(place, "fashion_mnist", verify, synthetic, write_synthetic)
    folder = root / FOLDER
    if download and not synthetic:
        files.download("fashion_mnist", "FashionMNIST", root)
    elif _file(folder, "train-images-idx3-ubyte") is None and needed.DEBIAN.is_dir():
        folder = needed.DEBIAN
    train, test = (_part(folder, part, verify) for part in ("train", "t10k"))
    return in_memory(place, recipe, train, test, num_classes=10)


def _part(folder: Path, part: str, verify: bool) -> Arrays:
    images, labels = (
        _read(folder, f"{part}-{kind}-ubyte", dimensions, verify)
        for kind, dimensions in (("images-idx3", 3), ("labels-idx1", 1))
    )
    source = folder / f"{part}-labels-idx1-ubyte"
    if images.shape[1:] != (28, 28):
        raise ValueError(f"{source}: its images are {images.shape[2]}x{images.shape[1]} pixels, not 28x28")
    return labelled(images[:, None], labels, 10, source)


def _file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read(folder: Path, name: str, dimensions: int, verify: bool) -> Tensor:
    path = _file(folder, name)
    if path is None:
        raise needed.missing("fashion_mnist", folder / name)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file: {error}") from error
    if len(content) > LARGEST:
        raise ValueError(f"{path}: more than {LARGEST:,} bytes unpacked, which no file of this set has")
    if verify:
        files.check_digest(str(path), hashlib.md5(content).hexdigest(), MD5[name])
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


def write_synthetic(root: Path, size: int) -> None:
    """Write synthetic idx files with `size` training images."""
    (root / FOLDER).mkdir(parents=True)
    made = parts((size, test_size(size)), 10, 28, channels=1)
    for part, (labels, images) in zip(("train", "t10k"), made, strict=True):
        write(root / FOLDER / f"{part}-images-idx3-ubyte", images[..., 0])
        write(root / FOLDER / f"{part}-labels-idx1-ubyte", labels.astype(np.uint8))
