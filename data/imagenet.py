"""ImageNet-1k (ILSVRC 2012; account and non-commercial terms at image-net.org), as folders of JPEG files.

python -m data.imagenet prepare --tars DIR --root DIR    # DIR/imagenet/{train,val}/<wnid>/*.JPEG from the tars
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from data import stand_ins
from data.augment import Transform
from data.dataset import Dataset, Place, fingerprint, held_out
from data.folders import Listing, class_names, images
from data.needed import missing
from data.streaming import StreamSplit, View

NORMALISE = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
SCALE, RATIO = [0.08, 1.0], [0.75, 4 / 3]
SIZES = {"train": 1_281_167, "val": 50_000}
CLASSES = 1000
WNIDS = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"  # SHA-256 of the sorted names, a line each


def imagenet(
    place: Place,
    *,
    scale: Sequence[float] = SCALE,
    ratio: Sequence[float] = RATIO,
    flip: bool = True,
    eval_size: int = 0,
    eval_ratio: float = 0.875,
    normalise: Mapping[str, Any] = NORMALISE,
    validation: float = 0.0,
    split_seed: int = 0,
    verify: bool = True,
    stand_in: int = 0,
) -> Dataset:
    """Stream 1,281,167 training and 50,000 test images from <root>/imagenet/{train,val}/<wnid>/.

    The configuration's image_size is the side of the training crop; eval_size is that of evaluation (0: the same) and
    eval_ratio its share of the resized image's shorter side (224 / 256). Class indices follow the sorted wnids. The
    fingerprint is of names and sizes of the files.
    """
    root = place.root
    if stand_in:
        root, verify = stand_ins.folder(place, "imagenet", stand_in, write_stand_in), False
    folder = root / "imagenet"
    names = _wnids([folder / part for part in SIZES], verify)
    train, test = (_listing(folder / part, names, size if verify else 0) for part, size in SIZES.items())
    size = place.facts.get("image_size", 224)
    view = View(size, scale, ratio, flip, eval_size or size, eval_ratio)
    transform = Transform(normalise, **place.batch_format)

    def split(listing: Listing) -> StreamSplit:
        paths, targets, _ = zip(*listing, strict=True)
        return StreamSplit(paths, torch.tensor(targets), view, transform, place)

    fit, rest = held_out(len(train), validation, split_seed)
    return Dataset(
        train=split(train if rest is None else [train[i] for i in fit]),
        validation=None if rest is None else split([train[i] for i in rest]),
        test=split(test),
        task="multiclass",
        num_classes=CLASSES,
        in_channels=3,
        image_size=size,
        fingerprint=fingerprint(
            repr([(os.path.relpath(path, folder), size) for path, _, size in train + test]).encode()
        ),
    )


def _wnids(folders: Sequence[Path], verify: bool) -> list[str]:
    """Return the names of the classes, which are those of every part; verify: and the official ones."""
    for folder in folders:
        if not folder.is_dir():
            raise missing("imagenet", folder)
    names = class_names(folders)
    if len(names) != CLASSES:
        raise ValueError(f"{folders[0]}: {len(names)} class folders, not {CLASSES}")
    if verify and hashlib.sha256("\n".join(names).encode()).hexdigest() != WNIDS:
        raise ValueError(
            f"{folders[0]}: {names[0]} to {names[-1]} are not the wnids of ILSVRC 2012; data.verify=false reads them"
        )
    return names


def _listing(folder: Path, names: Sequence[str], expected: int) -> Listing:
    """List the images of one part. expected: how many there must be, or 0."""
    found = images(folder, names)
    if not found or (expected and len(found) != expected):
        raise ValueError(f"{folder}: {len(found)} images, not {expected or 'any'}; data.verify=false reads them")
    return found


def write_stand_in(root: Path, size: int) -> None:
    """Write made-up JPEG files of several shapes, `size` of them for training, in folders of 1000 classes."""
    from PIL import Image

    for key, (part, count) in enumerate((("train", size), ("val", stand_ins.test_size(size)))):
        folders = [root / "imagenet" / part / f"n{index:08d}" for index in range(CLASSES)]
        for folder in folders:
            folder.mkdir(parents=True)
        labels = stand_ins.classes(count, CLASSES)
        for index, pixels in enumerate(stand_ins.of_class(labels, CLASSES, 96, key=key)):
            image = Image.fromarray(pixels[: 64 + index % 33])
            image.save(folders[labels[index]] / f"{part}_{index:08d}.JPEG", quality=90)


if __name__ == "__main__":
    from data.imagenet_tars import main

    main()
