"""Handwritten digits: 1,797 real 8x8 images that scikit-learn ships; works without a network.

They are the test part of UCI's "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998, CC BY 4.0).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from data.augment import PLAIN
from data.dataset import Dataset, Place
from data.memory import Recipe, in_memory, labelled

NORMALISE = {"mean": [0.3058], "std": [0.3761]}  # of the training part


def digits(
    place: Place,
    *,
    augment: Mapping[str, Any] = PLAIN,
    normalise: Mapping[str, Any] = NORMALISE,
    validation: float = 0.0,
    split_seed: int = 0,
    augment_validation: bool = False,
) -> Dataset:
    """Load 1,437 training and 360 test images; the set has no split of its own.

    Test is every fifth image, from the first, after a stable sort by label: fixed, and stratified by class. The same
    writers are in both parts. Grey values 0..16 become 0..255.
    """
    from sklearn.datasets import load_digits

    raw = load_digits()
    pixels = torch.from_numpy(np.rint(raw.images * (255 / 16)).astype(np.uint8))[:, None]
    images, labels = labelled(pixels, torch.from_numpy(raw.target), 10, "digits")
    test = torch.zeros(len(labels), dtype=torch.bool)
    test[labels.argsort(stable=True)[::5]] = True
    recipe = Recipe(augment, normalise, validation, split_seed, augment_validation)
    return in_memory(place, recipe, (images[~test], labels[~test]), (images[test], labels[test]), num_classes=10)
