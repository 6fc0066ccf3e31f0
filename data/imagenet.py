"""ImageNet-1k (ILSVRC 2012; account and non-commercial terms at image-net.org), as folders of JPEG files.

python -m data.imagenet prepare --tars DIR --root DIR    # DIR/imagenet/{train,val}/<wnid>/*.JPEG from the tars
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from data import stand_ins
from data.augment import Transform
from data.dataset import Dataset, Place, fingerprint, held_out
from data.files import missing
from data.streaming import StreamSplit, View

NORMALISE = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
SCALE, RATIO = [0.08, 1.0], [0.75, 4 / 3]
SIZES = {"train": 1_281_167, "val": 50_000}
CLASSES = 1000
HOW = "register at image-net.org, then `python -m data.imagenet prepare --tars DIR --root {root}` unpacks the tars"
Listing = list[tuple[str, int, int]]  # path, class, bytes


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
    train, test = (_listing(folder / part, HOW.format(root=root), SIZES[part] if verify else 0) for part in SIZES)
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


def _listing(folder: Path, how: str, expected: int) -> Listing:
    """List the images of one part. expected: how many there must be, or 0."""
    if not folder.is_dir():
        raise missing("imagenet", folder, how)
    wnids = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    if len(wnids) != CLASSES:
        raise ValueError(f"{folder}: {len(wnids)} class folders, not {CLASSES}")
    found = [
        (entry.path, index, entry.stat().st_size)
        for index, wnid in enumerate(wnids)
        for entry in sorted(os.scandir(folder / wnid), key=lambda entry: entry.name)
        if entry.is_file() and not entry.name.startswith(".")
    ]
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
