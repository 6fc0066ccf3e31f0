"""SVHN, cropped digits (Netzer et al. 2011; non-commercial use): MATLAB 5 files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data import files, stand_ins
from data.augment import PLAIN
from data.dataset import Dataset, Place
from data.memory import Arrays, Recipe, in_memory, labelled
from data.needed import missing

NORMALISE = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}  # none, as in AdamSRT, the one paper that uses it
MD5 = {
    "train": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test": "eb5a983be6a315427106f1b164d9cef3",
    "extra": "a93ce644f1a588dc4d68dda5feec44a7",
}


def svhn(
    place: Place,
    *,
    extra: bool = False,
    augment: Mapping[str, Any] = PLAIN,
    normalise: Mapping[str, Any] = NORMALISE,
    validation: float = 0.0,
    split_seed: int = 0,
    augment_validation: bool = False,
    verify: bool = True,
    download: bool = False,
    stand_in: int = 0,
) -> Dataset:
    """Load 73,257 training and 26,032 test images, 32x32, 10 classes, from <root>/{train,test}_32x32.mat.

    extra: train on the 531,131 easier images of extra_32x32.mat too.
    """
    root, parts = place.root, ("train", "extra") if extra else ("train",)
    if stand_in:
        root, verify = stand_ins.folder(place, "svhn", stand_in, write_stand_in), False
    elif download:
        for part in (*parts, "test"):
            files.download("svhn", "SVHN", root, part)
    read = [_part(root / f"{part}_32x32.mat", MD5[part] if verify else None) for part in (*parts, "test")]
    train = tuple(torch.cat(tensors) for tensors in zip(*read[:-1], strict=True))
    recipe = Recipe(augment, normalise, validation, split_seed, augment_validation)
    return in_memory(place, recipe, (train[0], train[1]), read[-1], num_classes=10)


def _part(path: Path, digest: str | None) -> Arrays:
    """Read `X` uint8 (32, 32, 3, N) and `y` (N, 1), where 10 stands for the digit 0."""
    if not path.is_file():
        raise missing("svhn", path)
    if digest is not None:
        files.check_md5(path, digest)
    content = files.read_mat(path, path, "X", "y")
    pixels, labels = content["X"], content["y"].reshape(-1)
    if pixels.dtype != np.uint8 or pixels.shape[:3] != (32, 32, 3) or pixels.ndim > 4:
        raise ValueError(f"{path}: X is {pixels.dtype} {pixels.shape}, not uint8 (32, 32, 3, N)")
    pixels = pixels.reshape(32, 32, 3, -1)  # MATLAB drops the last dimension of one image
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)))
    images, labels = labelled(images, labels, 11, path)
    return images, labels % 10


def write_stand_in(root: Path, size: int) -> None:
    """Write made-up .mat files with `size` training images."""
    from scipy.io import savemat

    counts = {"train": size, "test": stand_ins.test_size(size), "extra": size}
    for key, (part, count) in enumerate(counts.items()):
        labels = stand_ins.classes(count, 10)
        pixels = stand_ins.of_class(labels, 10, 32, key=key).transpose(1, 2, 3, 0)
        savemat(
            root / f"{part}_32x32.mat", {"X": pixels, "y": np.where(labels == 0, 10, labels)[:, None].astype(np.uint8)}
        )
