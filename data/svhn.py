"""SVHN, cropped digits (Netzer et al. 2011; non-commercial use): MATLAB 5 files.

torchvision only downloads: its reader runs scipy in this process, which some damaged files end with a segmentation
fault, and it reads no copy whose checksum is unknown.
"""

from pathlib import Path

import numpy as np
import torch

from data import files
from data.dataset import Dataset, Place
from data.memory import Arrays, Recipe, in_memory, labelled
from data.needed import EXTRA, FILES
from data.synthetic import parts, source, test_size


def svhn(
    place: Place,
    recipe: Recipe,
    *,
    extra: bool = False,
    verify: bool = True,
    download: bool = False,
    synthetic: int = 0,
) -> Dataset:
    """Load 73,257 training and 26,032 test images, 32x32, 10 classes, from <root>/{train,test}_32x32.mat.

    extra: train on the 531,131 easier images of extra_32x32.mat too.
    """
    known = FILES["svhn"] | (EXTRA["svhn"] if extra else {})
    root, verify = source(place, "svhn", verify, synthetic, write_synthetic)
    for name in known if download and not synthetic else ():
        files.download("svhn", "SVHN", root, name.partition("_")[0])
    train, test, *more = (_part(root / name, md5 if verify else None) for name, md5 in known.items())
    images, labels = (torch.cat(tensors) for tensors in zip(train, *more, strict=True))
    return in_memory(place, recipe, (images, labels), test, num_classes=10)


def _part(path: Path, md5: str | None) -> Arrays:
    """Read `X` uint8 (32, 32, 3, N) and `y` (N, 1), where 10 is the digit 0."""
    content = files.read_mat(files.require("svhn", path, md5), path, "X", "y")
    pixels, labels = content["X"], content["y"].reshape(-1)
    if pixels.dtype != np.uint8 or pixels.shape[:3] != (32, 32, 3) or pixels.ndim > 4:
        raise ValueError(f"{path}: X is {pixels.dtype} {pixels.shape}, not uint8 (32, 32, 3, N)")
    pixels = pixels.reshape(32, 32, 3, -1)  # MATLAB drops the last dimension of one image
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)))
    images, labels = labelled(images, labels, 11, path)
    return images, labels % 10


def write_synthetic(root: Path, size: int) -> None:
    """Write synthetic .mat files with `size` training images."""
    from scipy.io import savemat

    made = parts((size, test_size(size), size), 10, 32)
    for part, (labels, images) in zip(("train", "test", "extra"), made, strict=True):
        digits = np.where(labels == 0, 10, labels)[:, None].astype(np.uint8)
        savemat(root / f"{part}_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": digits})
