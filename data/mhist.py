"""MHIST (Wei et al. 2021): colorectal polyps, hyperplastic (HP) or sessile serrated (SSA); research use agreement."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from data import stand_ins
from data.dataset import Dataset, Place, fingerprint
from data.decoded import decoded
from data.files import once_each, read_csv
from data.memory import Recipe, in_memory
from data.needed import missing

CROP_AND_FLIP = {"crop_padding": 4, "flip": "horizontal", "rotation": 0.0, "cutout": 0}
NORMALISE = {"mean": [0.73780392, 0.64858824, 0.75564706], "std": [0.19725490, 0.24364706, 0.17027451]}
HEADER = ["Image Name", "Majority Vote Label", "Number of Annotators who Selected SSA (Out of 7)", "Partition"]
LABELS = {"HP": 0, "SSA": 1}
SIDE, SIZES = 224, {"train": 2175, "test": 977}


def mhist(
    place: Place,
    *,
    augment: Mapping[str, Any] = CROP_AND_FLIP,
    normalise: Mapping[str, Any] = NORMALISE,
    validation: float = 0.0,
    split_seed: int = 0,
    augment_validation: bool = False,
    verify: bool = True,
    stand_in: int = 0,
) -> Dataset:
    """Load 2,175 training and 977 test images, 224x224, from <root>/mhist; HP is 0, SSA is 1.

    RMSGD's code moves the files into class folders; here they stay, and the pixels are kept once more under the cache.
    """
    folder = place.root / "mhist"
    if stand_in:
        folder, verify = stand_ins.folder(place, "mhist", stand_in, write_stand_in), False
    rows = _annotations(folder / "annotations.csv", verify)
    names, labels = zip(*(rows["train"] + rows["test"]), strict=True)
    images, digest = decoded(place.cache, "mhist", [folder / "images" / name for name in names], SIDE)
    targets, cut = torch.tensor(labels), len(rows["train"])
    return in_memory(
        place,
        Recipe(augment, normalise, validation, split_seed, augment_validation),
        (images[:cut], targets[:cut]),
        (images[cut:], targets[cut:]),
        num_classes=2,
        task="binary",
        digest=fingerprint(digest.encode(), targets),
    )


def _annotations(path: Path, verify: bool) -> dict[str, list[tuple[str, int]]]:
    """Read the csv: image name and class of each partition's rows."""
    if not path.is_file():
        raise missing("mhist", path)
    header, *lines = read_csv(path)
    if header != HEADER:
        raise ValueError(f"{path}: its first line is {','.join(header)!r}, not {','.join(HEADER)!r}")
    rows: dict[str, list[tuple[str, int]]] = {part: [] for part in SIZES}
    for number, line in enumerate(lines, start=2):
        if len(line) != 4 or line[1] not in LABELS or line[3] not in rows or Path(line[0]).name != line[0]:
            raise ValueError(f"{path}: line {number} is not an image, HP or SSA, votes, train or test: {line}")
        rows[line[3]].append((line[0], LABELS[line[1]]))
    once_each(path, [line[0] for line in lines])
    sizes = {part: len(found) for part, found in rows.items()}
    if 0 in sizes.values() or (verify and sizes != SIZES):
        raise ValueError(f"{path}: {sizes} images, not {SIZES}; data.verify=false reads it")
    return rows


def write_stand_in(folder: Path, size: int) -> None:
    """Write a made-up annotations.csv and images/ with `size` training images."""
    from PIL import Image

    (folder / "images").mkdir()
    lines = [",".join(HEADER)]
    for key, (part, count) in enumerate((("train", size), ("test", stand_ins.test_size(size)))):
        labels = stand_ins.classes(count, 2)
        for index, pixels in enumerate(stand_ins.of_class(labels, 2, SIDE, key=key)):
            name = f"MHIST_{part}{index}.png"
            Image.fromarray(pixels).save(folder / "images" / name, compress_level=1)
            lines.append(f"{name},{'SSA,6' if labels[index] else 'HP,1'},{part}")
    (folder / "annotations.csv").write_text("\n".join(lines) + "\n")
