"""Sets for image retrieval: training and test images are of different classes (AdamP, E.6).

Targets are class numbers [B]; those of a test part that has queries and a gallery are [B, 2], the second number a role:
0 is both, 1 a query, 2 of the gallery. Test classes have numbers from num_classes on.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from data import idx
from data.augment import Transform
from data.dataset import Dataset, Place, fingerprint
from data.files import once_each, read_lines, read_mat, require
from data.memory import Recipe, in_memory
from data.streaming import StreamSplit, View
from data.synthetic import parts, source, test_size

NORMALISE = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
ROLES = {"test": 0, "query": 1, "gallery": 2}
Normalise = Mapping[str, Sequence[float]]


class Row(NamedTuple):
    """An image: its file below the set's folder, its class, and its part: train, test, query or gallery."""

    file: str
    label: str
    part: str


def fashion_mnist(
    place: Place, recipe: Recipe, *, verify: bool = True, download: bool = False, synthetic: int = 0
) -> Dataset:
    """Load the training images of Fashion-MNIST's classes 0 to 4, and the test images of 5 to 9."""
    train, test = idx.read(place, verify, download, 2 * synthetic)
    seen, unseen = train[1] < 5, test[1] >= 5
    limit = synthetic or len(seen)
    known = train[0][seen][:limit], train[1][seen][:limit]
    return in_memory(place, recipe, known, (test[0][unseen], test[1][unseen]), num_classes=5, task="retrieval")


def cub(place: Place, *, normalise: Normalise = NORMALISE, verify: bool = True, synthetic: int = 0) -> Dataset:
    """Load CUB-200-2011 (Wah et al. 2011) from <root>/CUB_200_2011: classes 1 to 100 train, 101 to 200 test."""
    root, verify = source(place, "cub", verify, synthetic, write_cub)
    folder = root / "CUB_200_2011"
    files = _table("cub", folder / "images.txt", "an id and a file", 2)
    labels = dict(_table("cub", folder / "image_class_labels.txt", "an id and a class", 2))
    if missing := [number for number, _ in files if number not in labels]:
        raise ValueError(f"{folder / 'image_class_labels.txt'}: image {missing[0]} has no class")
    rows = [Row(f"images/{file}", labels[number], _half(labels[number], 100)) for number, file in files]
    return _streamed(place, folder, rows, normalise, 100, {"train": 5864, "test": 5924} if verify else {})


def cars196(place: Place, *, normalise: Normalise = NORMALISE, verify: bool = True, synthetic: int = 0) -> Dataset:
    """Load Cars-196 (Krause et al. 2013) from <root>/cars196: classes 1 to 98 train, 99 to 196 test."""
    root, verify = source(place, "cars196", verify, synthetic, write_cars196)
    folder = root / "cars196"
    file = require("cars196", folder / "cars_annos.mat")
    found = read_mat(file, file, "annotations", squeeze_me=True)["annotations"]
    pairs = zip(found["relative_im_path"].tolist(), found["class"].tolist(), strict=True)
    rows = [Row(str(name), str(label), _half(str(label), 98)) for name, label in pairs]
    return _streamed(place, folder, rows, normalise, 98, {"train": 8054, "test": 8131} if verify else {})


def sop(place: Place, *, normalise: Normalise = NORMALISE, verify: bool = True, synthetic: int = 0) -> Dataset:
    """Load Stanford Online Products (Oh Song et al. 2016) from <root>/Stanford_Online_Products."""
    root, verify = source(place, "sop", verify, synthetic, write_sop)
    folder = root / "Stanford_Online_Products"
    rows = [
        Row(file, label, part)
        for part in ("train", "test")
        for _, label, _, file in _table(
            "sop", folder / f"Ebay_{part}.txt", "an id, a class, a super-class, a file", 4, 1
        )
    ]
    return _streamed(place, folder, rows, normalise, 11318, {"train": 59551, "test": 60502} if verify else {})


def inshop(place: Place, *, normalise: Normalise = NORMALISE, verify: bool = True, synthetic: int = 0) -> Dataset:
    """Load In-Shop Clothes (Liu et al. 2016) from <root>/inshop: 3,997 items train, queries are sought in a gallery."""
    root, verify = source(place, "inshop", verify, synthetic, write_inshop)
    folder = root / "inshop"
    table = _table("inshop", folder / "list_eval_partition.txt", "a file, an item, and train, query or gallery", 3, 2)
    counts = {"train": 25882, "query": 14218, "gallery": 12612} if verify else {}
    return _streamed(place, folder, [Row(*line) for line in table], normalise, 3997, counts)


def _table(name: str, path: Path, what: str, columns: int, header: int = 0) -> list[list[str]]:
    """Read lines of words apart by blanks, but for the first `header` lines; ValueError names file and line."""
    lines = read_lines(require(name, path))
    rows = [line.split() for line in lines[header:]]
    for number, row in enumerate(rows, start=header + 1):
        if len(row) != columns:
            raise ValueError(f"{path}: line {number} is not {what}: {lines[number - 1]}")
    once_each(path, [row[0] for row in rows])
    return rows


def _half(label: str, last: int) -> str:
    return "train" if label.isdecimal() and int(label) <= last else "test"


def _streamed(
    place: Place, folder: Path, rows: list[Row], normalise: Normalise, num_classes: int, expected: Mapping[str, int]
) -> Dataset:
    """Make a data set of listed images; expected: how many images each part must have, empty: not looked at."""
    known, others = ([row for row in rows if (row.part == "train") is kept] for kept in (True, False))
    _check(folder, rows, expected)
    numbers = _numbers(folder, {row.label for row in known}, {row.label for row in others}, num_classes)
    size = place.facts.get("image_size", 224)
    transform = Transform(normalise, **place.batch_format)

    def split(chosen: list[Row], targets: list[int] | list[list[int]]) -> StreamSplit:
        paths = [str(folder / row.file) for row in chosen]
        return StreamSplit(paths, torch.tensor(targets), View(size, eval_size=size), transform, place)

    return Dataset(
        train=split(known, [numbers[row.label] for row in known]),
        validation=None,
        test=split(others, [[numbers[row.label], ROLES[row.part]] for row in others]),
        task="retrieval",
        num_classes=num_classes,
        in_channels=3,
        image_size=size,
        fingerprint=fingerprint(repr(rows).encode()),
    )


def _check(folder: Path, rows: list[Row], expected: Mapping[str, int]) -> None:
    """Raise FileNotFoundError or ValueError, one line, for a list that cannot be of a set, or is not the real one."""
    once_each(folder, [row.file for row in rows])
    counts = {part: sum(row.part == part for row in rows) for part in {row.part for row in rows} | {"train"}}
    if stray := counts.keys() - {"train", *ROLES}:
        raise ValueError(f"{folder}: {min(stray)!r} is no part; allowed: train, {', '.join(ROLES)}")
    if not counts["train"] or len(counts) < 2 or (expected and counts != expected):
        raise ValueError(
            f"{folder}: {counts} images, not {dict(expected) or 'some of each'}; data.verify=false reads it"
        )
    for row in rows:
        if not (folder / row.file).is_file():
            raise FileNotFoundError(f"{folder / row.file}: image not found")


def _numbers(folder: Path, seen: set[str], unseen: set[str], num_classes: int) -> dict[str, int]:
    """Number the classes: those that train from 0, the others from num_classes. Raises ValueError for one in both."""
    if both := seen & unseen:
        raise ValueError(f"{folder}: class {min(both)} is in training and test")
    if len(seen) > num_classes:
        raise ValueError(f"{folder}: {len(seen)} classes train, not {num_classes}")
    numbers = {label: number for number, label in enumerate(sorted(seen))}
    return numbers | {label: num_classes + number for number, label in enumerate(sorted(unseen))}


def _images(folder: Path, sizes: tuple[int, int], name: Callable[[int, int], str]) -> list[tuple[int, int, str]]:
    """Write synthetic JPEG files, two of a class; returns (part, class, file) of each, classes counted from 0."""
    from PIL import Image

    rows = []
    for part, (_, images) in enumerate(parts(sizes, 2, 64)):
        for index, pixels in enumerate(images):
            file = name(part, index)
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / file, quality=90)
            rows.append((part, index // 2, file))
    return rows


def write_cub(root: Path, size: int) -> None:
    """Write a synthetic CUB with `size` training images."""
    folder = root / "CUB_200_2011"
    rows = _images(folder / "images", (size, test_size(size)), lambda part, i: f"{part}.Bird/Bird_{part}_{i:04d}.jpg")
    labels = [100 * part + 1 + label for part, label, _ in rows]
    files = [f"{number} {file}\n" for number, (_, _, file) in enumerate(rows, start=1)]
    (folder / "images.txt").write_text("".join(files))
    (folder / "image_class_labels.txt").write_text("".join(f"{n} {label}\n" for n, label in enumerate(labels, start=1)))


def write_cars196(root: Path, size: int) -> None:
    """Write a synthetic Cars-196 with `size` training images."""
    from scipy.io import savemat

    folder, sizes = root / "cars196", (size, test_size(size))
    rows = _images(folder, sizes, lambda part, i: f"car_ims/{part * size + i + 1:06d}.jpg")
    found = np.empty((1, len(rows)), dtype=[("relative_im_path", object), ("class", object), ("test", object)])
    for column, (part, label, file) in enumerate(rows):
        found[0, column] = (file, np.uint8(98 * part + 1 + label), np.uint8(part))
    savemat(folder / "cars_annos.mat", {"annotations": found})


def write_sop(root: Path, size: int) -> None:
    """Write a synthetic Stanford Online Products with `size` training images."""
    folder, sizes = root / "Stanford_Online_Products", (size, test_size(size))
    rows = _images(folder, sizes, lambda part, i: f"bicycle_final/{part}{i:05d}_0.JPG")
    for part, name in enumerate(("train", "test")):
        lines = [f"{1 + 11318 * part + label} 1 {file}" for found, label, file in rows if found == part]
        numbered = [f"{number} {line}\n" for number, line in enumerate(lines, start=1)]
        (folder / f"Ebay_{name}.txt").write_text("image_id class_id super_class_id path\n" + "".join(numbered))


def write_inshop(root: Path, size: int) -> None:
    """Write a synthetic In-Shop with `size` training images."""
    folder, sizes = root / "inshop", (size, max(2, test_size(size)))
    rows = _images(folder, sizes, lambda part, i: f"img/WOMEN/Tees/id_{part}{i // 2:07d}/0{i % 2 + 1}_1_front.jpg")
    lines = [
        f"{file} id_{part}{label:07d} {'train' if not part else ('query', 'gallery')[index % 2]}\n"
        for index, (part, label, file) in enumerate(rows)
    ]
    header = f"{len(rows)}\nimage_name item_id evaluation_status\n"
    (folder / "list_eval_partition.txt").write_text(header + "".join(lines))
