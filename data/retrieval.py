"""Sets for image retrieval: training and test images are of different classes (AdamP, E.6).

Targets are class numbers [B]; those of test images in files are [B, 2], the second a role: 0 is query and gallery, 1 a
query, 2 of the gallery. Test classes have numbers from num_classes on.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

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
Row = tuple[str, str, str]  # a file below the set's folder, its class, and its part: train, or one of ROLES


def fashion_mnist(
    place: Place, recipe: Recipe, *, verify: bool = True, download: bool = False, synthetic: int = 0
) -> Dataset:
    """Load the training images of Fashion-MNIST's classes 0 to 4, and the test images of 5 to 9."""
    train, test = idx.read(place, verify, download, 2 * synthetic)
    seen, unseen = torch.where(train[1] < 5)[0][: synthetic or None], test[1] >= 5
    known, others = (train[0][seen], train[1][seen]), (test[0][unseen], test[1][unseen])
    return in_memory(place, recipe, known, others, num_classes=5, task="retrieval")


def cub(place: Place, *, normalise: Normalise = NORMALISE, verify: bool = True, synthetic: int = 0) -> Dataset:
    """Load CUB-200-2011 (Wah et al. 2011) from <root>/CUB_200_2011: classes 1 to 100 train, 101 to 200 test."""
    root, verify = source(place, "cub", verify, synthetic, write_cub)
    folder = root / "CUB_200_2011"
    files = [file for _, file in _table("cub", folder / "images.txt", "an id and a file", 2)]
    rows = [(f"images/{file}", file[:3], _half(file[:3], 100)) for file in files]  # 001.Black_footed_Albatross/...
    return _streamed(place, folder, rows, normalise, 100, {"train": 5864, "test": 5924} if verify else {})


def cars196(place: Place, *, normalise: Normalise = NORMALISE, verify: bool = True, synthetic: int = 0) -> Dataset:
    """Load Cars-196 (Krause et al. 2013) from <root>/cars196: classes 1 to 98 train, 99 to 196 test."""
    root, verify = source(place, "cars196", verify, synthetic, write_cars196)
    file = require("cars196", root / "cars196" / "cars_annos.mat")
    found = read_mat(file, file, "annotations", squeeze_me=True)["annotations"]
    if not {"relative_im_path", "class"} <= {*(found.dtype.names or ())}:  # those of the development kit have others
        raise ValueError(f"{file}: its annotations have no relative_im_path and class, which cars_annos.mat has")
    pairs = zip(found["relative_im_path"].tolist(), map(str, found["class"].tolist()), strict=True)
    rows = [(str(name), label, _half(label, 98)) for name, label in pairs]
    return _streamed(place, file.parent, rows, normalise, 98, {"train": 8054, "test": 8131} if verify else {})


def sop(place: Place, *, normalise: Normalise = NORMALISE, verify: bool = True, synthetic: int = 0) -> Dataset:
    """Load Stanford Online Products (Oh Song et al. 2016) from <root>/Stanford_Online_Products."""
    root, verify = source(place, "sop", verify, synthetic, write_sop)
    folder, what = root / "Stanford_Online_Products", "an id, a class, a super-class, a file"
    tables = {part: _table("sop", folder / f"Ebay_{part}.txt", what, 4, 1) for part in ("train", "test")}
    rows = [(file, label, part) for part, table in tables.items() for _, label, _, file in table]
    return _streamed(place, folder, rows, normalise, 11318, {"train": 59551, "test": 60502} if verify else {})


def inshop(place: Place, *, normalise: Normalise = NORMALISE, verify: bool = True, synthetic: int = 0) -> Dataset:
    """Load In-Shop Clothes (Liu et al. 2016) from <root>/inshop: 3,997 items train, queries are sought in a gallery."""
    root, verify = source(place, "inshop", verify, synthetic, write_inshop)
    file, what = root / "inshop" / "list_eval_partition.txt", "a file, an item, and train, query or gallery"
    rows = [(name, item, part) for name, item, part in _table("inshop", file, what, 3, 2)]
    counts = {"train": 25882, "query": 14218, "gallery": 12612} if verify else {}
    return _streamed(place, file.parent, rows, normalise, 3997, counts)


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
    _check(folder, rows, expected)
    known, others = ([row for row in rows if (row[2] == "train") is trains] for trains in (True, False))
    seen, unseen = (sorted({label for _, label, _ in part}) for part in (known, others))
    if both := set(seen) & set(unseen):
        raise ValueError(f"{folder}: class {min(both)} is in training and test")
    if len(seen) > num_classes:
        raise ValueError(f"{folder}: {len(seen)} classes to train on, not {num_classes}")
    numbers = {label: number for number, label in enumerate(seen)}
    numbers |= {label: num_classes + number for number, label in enumerate(unseen)}
    size, transform = place.facts.get("image_size", 224), Transform(normalise, **place.batch_format)

    def split(chosen: list[Row], targets: torch.Tensor) -> StreamSplit:
        return StreamSplit(
            [str(folder / row[0]) for row in chosen], targets, View(size, eval_size=size), transform, place
        )

    return Dataset(
        train=split(known, torch.tensor([numbers[label] for _, label, _ in known])),
        validation=None,
        test=split(others, torch.tensor([[numbers[label], ROLES[part]] for _, label, part in others])),
        task="retrieval",
        num_classes=num_classes,
        in_channels=3,
        image_size=size,
        fingerprint=fingerprint(repr(rows).encode()),
    )


def _check(folder: Path, rows: list[Row], expected: Mapping[str, int]) -> None:
    """Raise FileNotFoundError or ValueError, one line, for a list that cannot be of a set, or is not the real one."""
    once_each(folder, [file for file, _, _ in rows])
    listed = [part for _, _, part in rows]
    counts = {part: listed.count(part) for part in dict.fromkeys(listed)}
    if stray := counts.keys() - {"train", *ROLES}:
        raise ValueError(f"{folder}: {min(stray)!r} is no part; allowed: train, {', '.join(ROLES)}")
    if "train" not in counts or len(counts) < 2 or (expected and counts != expected):
        raise ValueError(f"{folder}: {counts} images, not {expected or 'some of each'}; data.verify=false reads it")
    if missing := next((file for file, _, _ in rows if not (folder / file).is_file()), None):
        raise FileNotFoundError(f"{folder / missing}: image not found")


def _images(folder: Path, size: int, name: str) -> list[tuple[int, int, str]]:
    """Write synthetic JPEG files, two of a class; returns (0 or 1, class from 0, file) of each of both parts."""
    from PIL import Image

    rows = []
    for part, (_, images) in enumerate(parts((size, max(2, test_size(size))), 2, 64)):
        for index, pixels in enumerate(images):
            file = name.format(part=part, index=index, number=index // 2 + 1)
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / file, quality=90)
            rows.append((part, index // 2, file))
    return rows


def write_cub(root: Path, size: int) -> None:
    """Write a synthetic CUB with `size` training images."""
    rows = _images(root / "CUB_200_2011" / "images", size, "{part}{number:02d}.Bird/Bird_{index:04d}_{part}.jpg")
    lines = [f"{number} {file}\n" for number, (_, _, file) in enumerate(rows, start=1)]
    (root / "CUB_200_2011" / "images.txt").write_text("".join(lines))


def write_cars196(root: Path, size: int) -> None:
    """Write a synthetic Cars-196 with `size` training images."""
    from scipy.io import savemat

    rows = _images(root / "cars196", size, "car_ims/{part}{index:05d}.jpg")
    found = np.empty((1, len(rows)), dtype=[("relative_im_path", object), ("class", object), ("test", object)])
    for column, (part, label, file) in enumerate(rows):
        found[0, column] = (file, np.uint8(98 * part + 1 + label), np.uint8(part))
    savemat(root / "cars196" / "cars_annos.mat", {"annotations": found})


def write_sop(root: Path, size: int) -> None:
    """Write a synthetic Stanford Online Products with `size` training images."""
    folder = root / "Stanford_Online_Products"
    rows = _images(folder, size, "bicycle_final/{part}{index:05d}_0.JPG")
    for part, name in enumerate(("train", "test")):
        lines = [f"{n} {1 + 11318 * part + row[1]} 1 {row[2]}\n" for n, row in enumerate(rows, 1) if row[0] == part]
        (folder / f"Ebay_{name}.txt").write_text("image_id class_id super_class_id path\n" + "".join(lines))


def write_inshop(root: Path, size: int) -> None:
    """Write a synthetic In-Shop with `size` training images."""
    rows = _images(root / "inshop", size, "img/WOMEN/Tees/id_{part}{number:07d}/{index:02d}_1_front.jpg")
    names = [("query", "gallery")[n % 2] if part else "train" for n, (part, _, _) in enumerate(rows)]
    lines = [f"{row[2]} id_{row[0]}{row[1] + 1:07d} {name}\n" for row, name in zip(rows, names, strict=True)]
    header = f"{len(rows)}\nimage_name item_id evaluation_status\n"
    (root / "inshop" / "list_eval_partition.txt").write_text(header + "".join(lines))
