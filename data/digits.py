"""Handwritten digits: 1,797 real 8x8 images that scikit-learn ships; works without a network.

They are the test part of UCI's "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998, CC BY 4.0).
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data.dataset import Dataset, Place
from data.memory import Recipe, in_memory, labelled


def digits(place: Place, recipe: Recipe) -> Dataset:
    """Load 1,437 training and 360 test images; the set has no split of its own.

    Test is every fifth image, from the first, after a stable sort by label: fixed, and stratified by class. The same
    writers are in both parts. Grey values 0..16 become 0..255.
    """
    table = _table()
    pixels = torch.from_numpy(np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8)).view(-1, 1, 8, 8)
    images, labels = labelled(pixels, table[:, -1], 10, "digits")
    test = torch.zeros(len(labels), dtype=torch.bool)
    test[labels.argsort(stable=True)[::5]] = True
    return in_memory(place, recipe, (images[~test], labels[~test]), (images[test], labels[test]), num_classes=10)


def _table() -> NDArray[np.float64]:
    """Read scikit-learn's file, 64 pixels and a label a row, without importing scikit-learn: that takes 3 s."""
    package = find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError("data=digits: scikit-learn not found; pip install scikit-learn brings the images")
    return np.loadtxt(Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz"), delimiter=",")
