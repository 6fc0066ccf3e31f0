"""MHIST (Wei et al. 2021): colorectal polyps, hyperplastic (HP) or sessile serrated (SSA); research use agreement."""

from pathlib import Path

import torch

from data.dataset import Dataset, Place, fingerprint
from data.files import read_csv, require
from data.memory import Recipe, in_memory
from data.stored import decoded
from data.synthetic import parts, source, test_size

HEADER = ["Image Name", "Majority Vote Label", "Number of Annotators who Selected SSA (Out of 7)", "Partition"]
LABELS = {"HP": 0, "SSA": 1}
SIDE, SIZES = 224, {"train": 2175, "test": 977}


def mhist(place: Place, recipe: Recipe, *, verify: bool = True, synthetic: int = 0) -> Dataset:
    """Load 2,175 training and 977 test images, 224x224, from <root>/mhist; HP is 0, SSA is 1.

    RMSGD's code moves the files into class folders; here they stay, and the pixels are kept once more under the cache.
    """
    root, verify = source(place, "mhist", verify, synthetic, write_synthetic)
    folder = root / "mhist"
    rows = _annotations(folder / "annotations.csv", verify)
    paths = {part: [folder / "images" / name for name, _ in lines] for part, lines in rows.items()}
    images, digest = decoded(place.cache, "mhist", paths, SIDE)
    train, test = ((images[part], torch.tensor([label for _, label in lines])) for part, lines in rows.items())
    digest = fingerprint(digest.encode(), torch.cat((train[1], test[1])))
    return in_memory(place, recipe, train, test, num_classes=2, task="binary", digest=digest)


def _annotations(path: Path, verify: bool) -> dict[str, list[tuple[str, int]]]:
    """Read the csv: image name and class of each partition's rows."""
    what = "an image, HP or SSA, votes, train or test"
    lines = read_csv(require("mhist", path), HEADER, what, lambda row: row[1] in LABELS and row[3] in SIZES)
    rows = {part: [(line[0], LABELS[line[1]]) for line in lines if line[3] == part] for part in SIZES}
    sizes = {part: len(found) for part, found in rows.items()}
    if 0 in sizes.values() or (verify and sizes != SIZES):
        raise ValueError(f"{path}: {sizes} images, not {SIZES}; data.verify=false reads it")
    return rows


def write_synthetic(root: Path, size: int) -> None:
    """Write a synthetic annotations.csv and images/ with `size` training images below root/mhist."""
    from PIL import Image

    folder = root / "mhist"
    (folder / "images").mkdir(parents=True)
    lines = [",".join(HEADER)]
    for part, (labels, images) in zip(SIZES, parts((size, test_size(size)), 2, SIDE), strict=True):
        for index, pixels in enumerate(images):
            name = f"MHIST_{part}{index}.png"
            Image.fromarray(pixels).save(folder / "images" / name, compress_level=1)
            lines.append(f"{name},{'SSA,6' if labels[index] else 'HP,1'},{part}")
    (folder / "annotations.csv").write_text("\n".join(lines) + "\n")
