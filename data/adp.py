"""ADP release 1 (Hosseini et al. 2019): patches of many tissues, hierarchical labels; on request, non-commercial."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.dataset import Dataset, Place, fingerprint
from data.files import complaint, once_each, read_csv, require, whole_numbers
from data.memory import Recipe, in_memory
from data.stored import decoded
from data.synthetic import images as synthetic_images
from data.synthetic import source, test_size

FOLDER, CSV, IMAGES = "ADP V1.0 Release", "ADP_EncodedLabels_Release1_Flat.csv", "img_res_1um_bicubic"
SIDE, SIZES = 272, {"train": 14134, "valid": 1767, "test": 1767}
HEADER = (
    "Patch Names,E,E.M,E.M.S,E.M.C,E.T,E.T.S,E.T.C,E.T.X,C,C.D,C.D.I,C.D.R,C.L,C.X,H,H.E,H.K,H.Y,H.X,S,S.M,S.C,S.R,A,"
    "A.W,A.M,M,N,N.P,N.R,N.G,N.G.M,N.G.A,N.G.O,N.G.E,N.G.R,N.G.T,N.G.X,G,G.O,G.N,G.X,T"
)
COLUMNS = HEADER.split(",")[1:]
_LEAVES = "E.M.S E.M.C E.T.S E.T.C C.D.I C.D.R C.L H.E H.K H.Y S.M S.C S.R A.W A.M M N.P N.R N.G.M G.O G.N T"
LEAVES = _LEAVES.split()
LEVELS = {"L1": 1, "L2": 2, "L2+": 2, "L3Only": 3, "L3+": 3}


def adp(
    place: Place,
    recipe: Recipe,
    *,
    level: str = "L3Only",
    test_split: str = "test",
    validation: bool = True,
    verify: bool = True,
    synthetic: int = 0,
) -> Dataset:
    """Load 14,134 training, 1,767 validation and 1,767 test patches, 272x272, from <root>/ADP V1.0 Release.

    level: which labels (`classes`). test_split: test, or valid, which HistoKT's code tests on. validation: hand out
    valid.npy as the validation split. Targets are float32 [B, classes] of 0 and 1. The splits are of patches, not of
    slides: one slide is in several.
    """
    root, verify = source(place, "adp", verify, synthetic, write_synthetic)
    folder = root / FOLDER
    if test_split not in ("test", "valid"):
        raise ValueError(f"data.test_split: {test_split!r} is not one of test, valid")
    if validation and test_split == "valid":
        raise ValueError(
            "data.validation: valid.npy is the test split (data.test_split=valid); set data.validation=false"
        )
    names, labels = _labels(folder / CSV)
    splits = {part: _split(folder / "splits" / f"{part}.npy", len(names), verify and SIZES[part]) for part in SIZES}
    order = np.concatenate([*splits.values()])
    once_each(folder / "splits", order.tolist())
    paths = {part: [folder / IMAGES / names[index] for index in rows] for part, rows in splits.items()}
    images, digest = decoded(place.cache, "adp", paths, SIDE)
    targets = torch.from_numpy(labels[:, [COLUMNS.index(name) for name in classes(level)]])
    train, valid, tested = ((images[part], targets[splits[part]]) for part in ("train", "valid", test_split))
    return in_memory(
        place,
        recipe,
        train,
        tested,
        validation=valid if validation else None,
        num_classes=targets.shape[1],
        task="multilabel",
        digest=fingerprint(digest.encode(), targets[order], test_split.encode()),
    )


def classes(level: str) -> list[str]:
    """Return a level's labels in the csv's order: the leaves cut off at its depth, and with `+` their ancestors.

    L1 has 9, L2 19, L2+ 26, L3Only 22 (RMSGD's), L3+ 33. Left out: `X` (undifferentiated) and what no patch shows.
    """
    if level not in LEVELS:
        raise ValueError(f"data.level: {level!r} is not one of {', '.join(LEVELS)}")
    paths = [leaf.split(".")[: LEVELS[level]] for leaf in LEAVES]
    depths = [range(1, len(path) + 1) if level.endswith("+") else [len(path)] for path in paths]
    names = {".".join(path[:depth]) for path, some in zip(paths, depths, strict=True) for depth in some}
    return [name for name in COLUMNS if name in names]


def _labels(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Read the csv: patch names [N] and labels [N, 43] of 0 and 1."""
    what = "a patch name and 43 labels of 0 or 1"
    rows = read_csv(require("adp", path), HEADER.split(","), what, lambda row: {*row[1:]} <= {"0", "1"})
    return [row[0] for row in rows], np.array([row[1:] for row in rows], np.float32)


def _split(path: Path, rows: int, size: int) -> NDArray[np.int64]:
    """Read a split's row indices; size, unless 0, is how many there must be."""
    require("adp", path)
    try:
        indices = whole_numbers(np.load(path, allow_pickle=False), path)
    except Exception as error:  # numpy raises several kinds for a damaged file
        raise ValueError(f"{path}: not a readable array of row numbers: {complaint(error)}") from error
    if indices.ndim != 1 or (size and len(indices) != size):
        raise ValueError(f"{path}: shape {indices.shape}, not ({size or 'N'},); data.verify=false reads it")
    if len(indices) == 0 or indices.min() < 0 or indices.max() >= rows:
        raise ValueError(f"{path}: row numbers outside 0 to {rows - 1}")
    return indices


def write_synthetic(root: Path, size: int) -> None:
    """Write a synthetic release with `size` training patches, two leaves and their ancestors a patch."""
    from PIL import Image

    folder, held = root / FOLDER, test_size(size)
    (folder / IMAGES).mkdir(parents=True)
    (folder / "splits").mkdir()
    shown = np.arange(size + 2 * held)[:, None] * [1, 3] % len(LEAVES)
    mix = np.eye(len(LEAVES))[shown].mean(1)
    lines = [HEADER]
    for index, pixels in enumerate(synthetic_images(mix, SIDE, key=0)):
        name = f"{index:03d}.png_crop_{index}.png"
        Image.fromarray(pixels).save(folder / IMAGES / name, compress_level=1)
        leaves = [f"{LEAVES[leaf]}." for leaf in shown[index]]
        lines.append(",".join([name, *(str(int(any(leaf.startswith(f"{c}.") for leaf in leaves))) for c in COLUMNS)]))
    (folder / CSV).write_text("\n".join(lines) + "\n")
    rows = np.split(np.arange(size + 2 * held, dtype=np.int32), [size, size + held])
    for part, indices in zip(SIZES, rows, strict=True):
        np.save(folder / "splits" / f"{part}.npy", indices)
