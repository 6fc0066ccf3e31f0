"""ImageNet-1k (ILSVRC 2012; account and non-commercial terms at image-net.org), as folders of JPEG files.

python -m data.imagenet prepare --tars DIR --root DIR    # DIR/imagenet/{train,val}/<wnid>/*.JPEG from the tars
"""

if __name__ == "__main__":  # nothing of it needs torch
    from data.imagenet_tars import main

    main()
    raise SystemExit(0)

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from data.augment import Transform
from data.dataset import Dataset, Place, fingerprint, held_out
from data.listing import SUFFIXES
from data.memory import Recipe
from data.needed import missing
from data.streaming import StreamSplit, View
from data.synthetic import parts, source, test_size

Listing = list[tuple[str, int, int]]  # path, class, bytes

SCALE, RATIO = [0.08, 1.0], [0.75, 4 / 3]
SIZES = {"train": 1_281_167, "val": 50_000}
CLASSES = 1000
WNIDS = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"  # SHA-256 of the sorted names, a line each


def imagenet(
    place: Place,
    recipe: Recipe,
    *,
    scale: Sequence[float] = SCALE,
    ratio: Sequence[float] = RATIO,
    flip: bool = True,
    eval_size: int = 0,
    eval_ratio: float = 0.875,
    verify: bool = True,
    synthetic: int = 0,
) -> Dataset:
    """Stream 1,281,167 training and 50,000 test images from <root>/imagenet/{train,val}/<wnid>/.

    The configuration's image_size is the side of the training crop; eval_size is that of evaluation (0: the same) and
    eval_ratio its share of the resized image's shorter side (224 / 256). Class indices follow the sorted wnids. The
    fingerprint is of names and sizes of the files.
    """
    root, verify = source(place, "imagenet", verify, synthetic, write_synthetic)
    folder = root / "imagenet"
    labels = {name: label for label, name in enumerate(_class_names(folder / "train", folder / "val", verify))}
    train, test = (listing(folder / part, labels, size if verify else 0) for part, size in SIZES.items())
    size = place.facts.get("image_size", 224)
    view = View(size, scale, ratio, flip, eval_size or size, eval_ratio)
    transform = Transform(recipe.normalise, **place.batch_format)

    def split(found: Listing) -> StreamSplit:
        paths, targets, _ = zip(*found, strict=True)
        return StreamSplit(paths, torch.tensor(targets), view, transform, place)

    fit, rest = held_out(len(train), recipe.validation, recipe.split_seed, recipe.train)
    return Dataset(
        train=split([train[place] for place in fit.tolist()]),
        validation=None if rest is None else split([train[place] for place in rest.tolist()]),
        test=split(test),
        task="multiclass",
        num_classes=CLASSES,
        in_channels=3,
        image_size=size,
        fingerprint=fingerprint(names_and_sizes(folder, train + test).encode()),
    )


def names_and_sizes(folder: Path, found: Listing) -> str:
    """Return what a fingerprint is made of: the files' names below a folder, and their bytes."""
    return repr([(os.path.relpath(path, folder), size) for path, _, size in found])


def _class_names(train: Path, val: Path, verify: bool) -> list[str]:
    """Return the sorted names of the class folders, which both parts have to share: a class's place is its label.

    verify: they are also the official ones. Raises ValueError, one line, where a part has other names than the first.
    """
    names, found = _subfolders(train), _subfolders(val)
    differences = [({*names} - {*found}, "missing"), ({*found} - {*names}, "too many")]
    words = [f"{len(some)} {word}, e.g. {min(some)}" for some, word in differences if some]
    if words:
        raise ValueError(f"{val}: its class folders are not those of {train}: {'; '.join(words)}")
    if len(names) != CLASSES:
        raise ValueError(f"{train}: {len(names)} class folders, not {CLASSES}")
    if verify and hashlib.sha256("\n".join(names).encode()).hexdigest() != WNIDS:
        which = f"{names[0]} to {names[-1]}"
        raise ValueError(f"{train}: {which} are not the wnids of ILSVRC 2012; data.verify=false reads them")
    return names


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise missing("imagenet", folder)
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def listing(folder: Path, labels: Mapping[str, int], expected: int) -> Listing:
    """List the image files of one part, class by class; what has no image's suffix (Thumbs.db) is left out.

    labels: the class of each folder that is read. expected: how many files there must be, or 0. Raises ValueError;
    FileNotFoundError for a folder that is missing.
    """
    found = [
        (entry.path, label, entry.stat().st_size)
        for name, label in labels.items()
        for entry in sorted(os.scandir(folder / name), key=lambda entry: entry.name)
        if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".") and entry.is_file()
    ]
    if not found or (expected and len(found) != expected):
        raise ValueError(f"{folder}: {len(found)} images, not {expected or 'any'}; data.verify=false reads them")
    return found


def write_synthetic(root: Path, size: int) -> None:
    """Write synthetic JPEG files of several shapes, `size` of them for training, in folders of 1000 classes."""
    from PIL import Image

    for part, (labels, images) in zip(SIZES, parts((size, test_size(size)), CLASSES, 96), strict=True):
        folders = [root / "imagenet" / part / f"n{index:08d}" for index in range(CLASSES)]
        for folder in folders:
            folder.mkdir(parents=True)
        for index, pixels in enumerate(images):
            image = Image.fromarray(pixels[: 64 + index % 33])
            image.save(folders[labels[index]] / f"{part}_{index:08d}.JPEG", quality=90)
