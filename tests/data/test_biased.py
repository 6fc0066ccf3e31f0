"""Biased-MNIST: how many images have which colour, what is painted, and who is in which part."""

from pathlib import Path

import numpy as np
import pytest
import torch

from data import idx
from data.biased import BIASED, COLOURS, UNBIASED, biased_fashion_mnist, biased_mnist, coloured, colours
from data.memory import Recipe
from data.needed import FILES
from tests.data.places import one_line, place


@pytest.mark.parametrize(("correlation", "own"), [(1.0, 1000), (0.999, 999), (0.99, 990), (0.1, 100), (0.0, 0)])
def test_each_class_has_its_colour_so_often_and_the_others_alike(correlation: float, own: int) -> None:
    labels = torch.arange(10_000) % 10
    found = colours(labels, correlation, key=3)
    for label in range(10):
        counts = torch.bincount(found[labels == label], minlength=10).tolist()
        assert counts.pop(label) == own
        assert max(counts) - min(counts) <= -(-(1000 - own) // 9)
        assert sum(counts) == 1000 - own
    if correlation == 0.1:
        assert counts == [100] * 9
    assert torch.equal(found, colours(labels, correlation, key=3))
    assert own == 1000 or not torch.equal(found, colours(labels, correlation, key=4))


def test_the_background_is_painted_and_all_else_is_white() -> None:
    images = torch.tensor([0, 1, 128, 255], dtype=torch.uint8).view(1, 1, 2, 2)
    painted, _ = coloured((images, torch.tensor([6])), 1.0, key=0)
    assert painted.dtype == torch.uint8
    assert painted[0, :, 0, 0].tolist() == [255, 128, 0] == COLOURS[6].tolist()
    assert (painted[0].flatten(1)[:, 1:] == 255).all()


def written(folder: Path) -> None:
    """Write MNIST's four files: 100 and 25 images, each a white square on black."""
    for file, count in zip(FILES["mnist"], (100, 100, 25, 25), strict=True):
        path = folder / "root" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 8:20, 8:20] = 200
        idx.write(path, images if "images" in file else (np.arange(count) % 10).astype(np.uint8))


def test_held_out_images_are_there_twice(tmp_path: Path) -> None:
    written(tmp_path)
    recipe = Recipe(validation=0.2, train=50)
    loaded = biased_mnist(place(tmp_path), recipe, correlation=0.9)
    assert [len(part) for part in (loaded.train, loaded.validation, loaded.test)] == [50, 40, 50]
    assert loaded.train.targets.dim() == 1
    for part in (loaded.validation, loaded.test):
        labels, roles = part.targets.unbind(1)
        half = len(part) // 2
        assert roles.tolist() == [BIASED] * half + [UNBIASED] * half
        assert torch.equal(labels[:half], labels[half:])
        assert torch.equal(part.images[:half, :, 0, 0], COLOURS[labels[:half]])
        assert not torch.equal(part.images[half:, :, 0, 0], COLOURS[labels[half:]])
    assert biased_mnist(place(tmp_path), recipe, correlation=0.9).fingerprint == loaded.fingerprint
    assert biased_mnist(place(tmp_path), recipe, correlation=0.5).fingerprint != loaded.fingerprint


def test_missing_files_are_named_by_their_own_set(tmp_path: Path) -> None:
    with one_line(FileNotFoundError, "MNIST/raw/train-images-idx3-ubyte not found; data.download=true"):
        biased_mnist(place(tmp_path), Recipe())
    with one_line(FileNotFoundError, "FashionMNIST/raw", "dataset-fashion-mnist"):
        biased_fashion_mnist(place(tmp_path), Recipe())
