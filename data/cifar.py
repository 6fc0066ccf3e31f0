"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), python version: pickled batches, read without running what they say.

torchvision only downloads: its reader unpickles whatever it is given, and copies whose checksum is unknown
(data.verify=false) are read here too.
"""

import pickle
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data import files
from data.dataset import Dataset, Place
from data.memory import Arrays, Recipe, in_memory, labelled
from data.needed import FILES
from data.synthetic import parts, source, test_size


@dataclass(frozen=True)
class Layout:
    """A set's name, the key of the labels in a batch, and the classes. The last of its files holds the test images."""

    name: str
    labels: str
    num_classes: int

    def write_synthetic(self, root: Path, size: int) -> None:
        """Write synthetic batches with `size` training images below root."""
        *train, test = (root / file for file in FILES[self.name])
        test.parent.mkdir(parents=True)
        made = parts((size, test_size(size)), self.num_classes, 32)
        for paths, (labels, images) in zip((train, [test]), made, strict=True):
            pixels = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            shares = np.array_split(pixels, len(paths)), np.array_split(labels, len(paths))
            for path, some, their in zip(paths, *shares, strict=True):
                batch = {"data": np.ascontiguousarray(some), self.labels: their.tolist()}
                path.write_bytes(pickle.dumps(batch, protocol=2))


CIFAR10, CIFAR100 = Layout("cifar10", "labels", 10), Layout("cifar100", "fine_labels", 100)
CIFAR10_JPEG = Layout("cifar10_jpeg", "labels", 10)
JPEG_SHA256 = "086094a0d85e3076d6d1a6d5c0a74c3c8482e6c305d6da653ea5a72797e9bf0c"


def _load(
    layout: Layout, place: Place, recipe: Recipe, *, verify: bool = True, download: bool = False, synthetic: int = 0
) -> Dataset:
    name = layout.name
    root, verify = source(place, name, verify, synthetic, layout.write_synthetic)
    if download and not synthetic:
        files.download(name, name.upper(), root)
    paths = [files.require(name, root / file, md5 if verify else None) for file, md5 in FILES[name].items()]
    *batches, test = (_batch(path, layout) for path in paths)
    images, labels = (torch.cat(some) for some in zip(*batches, strict=True))
    return in_memory(place, recipe, (images, labels), test, num_classes=layout.num_classes)


cifar10 = partial(_load, CIFAR10)  # 50,000 training and 10,000 test images, 32x32, from <root>/cifar-10-batches-py
cifar100 = partial(_load, CIFAR100)  # the same with 100 fine classes, from <root>/cifar-100-python


def cifar10_jpeg(place: Place, recipe: Recipe, *, sha256: str = JPEG_SHA256, synthetic: int = 0) -> Dataset:
    """Load 50,000 training and 10,000 test images of a JPEG copy of CIFAR-10, from <root>/cifar10_jpeg.

    sha256: data.dataset.fingerprint of what is read. Raises ValueError for any other content.
    """
    loaded = _load(CIFAR10_JPEG, place, recipe, verify=False, synthetic=synthetic)
    if not synthetic and loaded.fingerprint != sha256:
        folder = place.root / "cifar10_jpeg/cifar-10-batches-py"
        raise ValueError(f"data.sha256: {sha256}, but the images and labels in {folder} have {loaded.fingerprint}")
    return loaded


def _batch(path: Path, layout: Layout) -> Arrays:
    content = unpickled(path)
    try:
        pixels, labels = content["data"], np.asarray(content[layout.labels])
        if pixels.dtype != np.uint8:
            raise ValueError(f"pixels are {pixels.dtype}, not uint8")
        images = torch.from_numpy(pixels.reshape(-1, 3, 32, 32))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: not a {layout.name} batch ({type(error).__name__}: {error})") from error
    return labelled(images, labels, layout.num_classes, path)


class _Restricted(pickle.Unpickler):
    """Rebuilds NumPy arrays and built-in containers; any other name in the pickle is refused, so no code can run."""

    _ALLOWED = {  # noqa: RUF012
        **{(f"numpy.{core}.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0] for core in ("core", "_core")},
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): __import__("codecs").encode,  # how Python 3 writes bytes in protocol 2
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which a batch does not need") from None


def unpickled(path: Path) -> Any:
    """Read a pickle of arrays and containers; raises ValueError naming the file if it is damaged or asks for more."""
    with path.open("rb") as file:
        try:
            return _Restricted(file, encoding="latin1").load()
        except Exception as error:  # a damaged pickle can raise almost anything
            raise ValueError(f"{path}: refused: {error}") from error
