"""The retrieval sets in their real formats, and what is wrong with files, in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

import data
from conf import groups
from data import retrieval
from data.dataset import Place

WRITERS = {name: getattr(retrieval, f"write_{name}") for name in ("cub", "cars196", "sop", "inshop")}
FOLDERS = {"cub": "CUB_200_2011", "cars196": "cars196", "sop": "Stanford_Online_Products", "inshop": "inshop"}


def options(name: str, **more) -> dict:
    kept = {key: value for key, value in groups.raw("data", name).items() if key != "ranges"}
    return kept | {"image_size": 32, "verify": False, **more}


def load(name: str, root: Path, **more):
    return data.load(options(name, **more), Place(root, root / "cache"))


@pytest.mark.parametrize("name", WRITERS)
def test_a_set_is_read_in_its_format(name, tmp_path):
    WRITERS[name](tmp_path, 8)
    found = load(name, tmp_path)
    assert len(found.train) == 8
    assert found.train.targets.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    labels, roles = found.test.targets.unbind(1)
    assert labels.min() >= found.num_classes
    assert set(roles.tolist()) == ({1, 2} if name == "inshop" else {0})
    images, targets = next(iter(found.train.batches([torch.tensor([0, 7])], 3)))
    assert images.shape == (2, 3, 32, 32)
    assert targets.tolist() == [0, 3]
    assert load(name, tmp_path).fingerprint == found.fingerprint


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "line"),
    [
        ("cub", "images.txt", "2 001.Bird", "1 001.Bird", "images.txt: '1' is listed twice"),
        ("cub", "images.txt", "2 001.Bird/Bird_0001_0.jpg", "2", "images.txt: line 2 is not an id and a file: 2"),
        ("cub", "images.txt", "Bird_0001_0.jpg", "gone.jpg", "gone.jpg: image not found"),
        ("cub", "images.txt", "Bird_0001_0.jpg", "Bird_0000_0.jpg", "Bird_0000_0.jpg' is listed twice"),
        ("sop", "Ebay_test.txt", "9 11319", "9 2", "class 2 is in training and test"),
        ("sop", "Ebay_train.txt", "1 1 1 ", "1 1 ", "line 2 is not an id, a class, a super-class, a file"),
        ("inshop", "list_eval_partition.txt", " train", " trian", "'trian' is no part; allowed: train, test, query"),
        ("inshop", "list_eval_partition.txt", "gallery", "train", "class id_10000001 is in training and test"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_is_one_line(name, file, old, new, line, tmp_path):
    WRITERS[name](tmp_path, 8)
    path = tmp_path / FOLDERS[name] / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises((ValueError, FileNotFoundError)) as raised:
        load(name, tmp_path)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


def test_counts_of_the_real_sets_are_checked(tmp_path):
    WRITERS["cars196"](tmp_path, 8)
    with pytest.raises(ValueError, match=r"cars196: .* images, not .*8054.*data\.verify=false"):
        load("cars196", tmp_path, verify=True)
    savemat(tmp_path / "cars196" / "cars_annos.mat", {"annotations": np.array([(1,)], dtype=[("fname", object)])})
    with pytest.raises(ValueError, match=r"cars_annos\.mat: its annotations have no relative_im_path and class"):
        load("cars196", tmp_path)
    (tmp_path / "cars196" / "cars_annos.mat").write_bytes(b"MATLAB 5.0 damaged")
    with pytest.raises(ValueError, match=r"cars_annos\.mat: not a readable MATLAB file"):
        load("cars196", tmp_path)


def test_fashion_mnist_has_no_class_in_both_parts(tmp_path):
    found = load("fashion_mnist_retrieval", tmp_path, synthetic=20, image_size=28)
    assert set(found.train.targets.tolist()) == {0, 1, 2, 3, 4}
    assert set(found.test.targets.tolist()) == {5, 6, 7, 8, 9}
