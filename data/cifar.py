"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), python version: pickled batches, read without running what they say."""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data import files, stand_ins
from data.dataset import Dataset, Place
from data.memory import Arrays, Recipe, in_memory, labelled
from data.needed import missing

CROP_AND_FLIP = {"crop_padding": 4, "flip": "horizontal", "rotation": 0.0, "cutout": 0}
CIFAR10_NORMALISE = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2470, 0.2435, 0.2616]}
CIFAR100_NORMALISE = {"mean": [0.5071, 0.4867, 0.4408], "std": [0.2675, 0.2565, 0.2761]}


@dataclass(frozen=True)
class _Layout:
    name: str
    folder: str
    labels: str  # key of the labels in a batch
    num_classes: int
    train: dict[str, str]  # file -> MD5
    test: dict[str, str]


_CIFAR10 = _Layout(
    "cifar10",
    "cifar-10-batches-py",
    "labels",
    10,
    {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    {"test_batch": "40351d587109b95175f43aff81a1287e"},
)
_CIFAR100 = _Layout(
    "cifar100",
    "cifar-100-python",
    "fine_labels",
    100,
    {"train": "16019d7e3df5f24257cddd939b257f8d"},
    {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
)


def cifar10(
    place: Place,
    *,
    augment: Mapping[str, Any] = CROP_AND_FLIP,
    normalise: Mapping[str, Any] = CIFAR10_NORMALISE,
    validation: float = 0.0,
    split_seed: int = 0,
    augment_validation: bool = False,
    verify: bool = True,
    download: bool = False,
    stand_in: int = 0,
) -> Dataset:
    """Load 50,000 training and 10,000 test images, 32x32, 10 classes, from <root>/cifar-10-batches-py."""
    recipe = Recipe(augment, normalise, validation, split_seed, augment_validation)
    return _load(_CIFAR10, place, recipe, verify, download, stand_in)


def cifar100(
    place: Place,
    *,
    augment: Mapping[str, Any] = CROP_AND_FLIP,
    normalise: Mapping[str, Any] = CIFAR100_NORMALISE,
    validation: float = 0.0,
    split_seed: int = 0,
    augment_validation: bool = False,
    verify: bool = True,
    download: bool = False,
    stand_in: int = 0,
) -> Dataset:
    """Load 50,000 training and 10,000 test images, 32x32, 100 fine classes, from <root>/cifar-100-python."""
    recipe = Recipe(augment, normalise, validation, split_seed, augment_validation)
    return _load(_CIFAR100, place, recipe, verify, download, stand_in)


def _load(layout: _Layout, place: Place, recipe: Recipe, verify: bool, download: bool, stand_in: int) -> Dataset:
    root = place.root
    if stand_in:
        verify = False
        root = stand_ins.folder(place, layout.name, stand_in, lambda root, size: _write_stand_in(layout, root, size))
    elif download:
        files.download(layout.name, layout.name.upper(), root)
    train, test = (_part(layout, root / layout.folder, names, verify) for names in (layout.train, layout.test))
    return in_memory(place, recipe, train, test, num_classes=layout.num_classes)


def _part(layout: _Layout, folder: Path, names: dict[str, str], verify: bool) -> Arrays:
    parts = []
    for name, digest in names.items():
        path = folder / name
        if not path.is_file():
            raise missing(layout.name, path)
        if verify:
            files.check_md5(path, digest)
        parts.append(_batch(path, layout))
    images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return images, labels


def _batch(path: Path, layout: _Layout) -> Arrays:
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


def _write_stand_in(layout: _Layout, root: Path, size: int) -> None:
    folder = root / layout.folder
    folder.mkdir()
    for key, (names, count) in enumerate(((layout.train, size), (layout.test, stand_ins.test_size(size)))):
        labels = stand_ins.classes(count, layout.num_classes)
        images = stand_ins.of_class(labels, layout.num_classes, 32, key=key).transpose(0, 3, 1, 2).reshape(count, -1)
        parts = zip(names, np.array_split(images, len(names)), np.array_split(labels, len(names)), strict=True)
        for name, pixels, part in parts:
            batch = {"data": np.ascontiguousarray(pixels), layout.labels: part.tolist()}
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
