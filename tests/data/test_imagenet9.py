"""9-Class ImageNet: which classes are which kind, who is tested on what, and clusters that are wrong."""

from pathlib import Path

import pytest
import torch

from data import imagenet9
from data.dataset import Dataset
from data.imagenet9 import ADVERSARIAL, CSV, KINDS, LABELS, PLAIN
from data.memory import Recipe
from tests.data.places import one_line, place

NORMALISE = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    imagenet9.write_synthetic(tmp_path / "root", 84)
    return tmp_path


def loaded(folder: Path, **options: object) -> Dataset:
    where = place(folder, facts={"image_size": 32})
    return imagenet9.imagenet9(where, Recipe(normalise=NORMALISE), **{"verify": False} | options)


def test_forty_two_classes_are_nine_kinds() -> None:
    assert (len(KINDS), len(LABELS)) == (9, 42)
    assert sorted(set(LABELS.values())) == list(range(9))
    assert LABELS["n01641577"] == [*KINDS].index("frog")


def test_training_has_kinds_and_the_test_has_roles_and_clusters(written: Path) -> None:
    found = loaded(written)
    assert (len(found.train), len(found.test), found.validation) == (84, 42, None)
    assert sorted(found.train.targets.tolist()) == sorted(2 * [*LABELS.values()])
    kinds, roles, *clusters = found.test.targets.unbind(1)
    assert roles.tolist() == [PLAIN] * 21 + [ADVERSARIAL] * 21
    assert torch.equal(kinds[:21], kinds[21:])
    lines = (written / "root" / CSV).read_text().splitlines()[1:]
    wanted = {line.split(",")[0]: [int(number) for number in line.split(",")[2:]] for line in lines}
    for path, *row in zip(found.test.identities(), roles.tolist(), *(c.tolist() for c in clusters), strict=True):
        assert row[1:] == ([-1] * 3 if row[0] else wanted["/".join(Path(str(path)).parts[-2:])])
    images, targets = next(found.test.batches([torch.arange(5)]))
    assert (images.shape, targets.shape) == ((5, 3, 32, 32), (5, 5))


def test_a_class_that_imagenet_a_lacks_is_left_out(written: Path) -> None:
    before = loaded(written)
    wnid = next(iter(LABELS))
    folder = written / "root" / "imagenet-a" / wnid
    gone = len([file.unlink() for file in folder.iterdir()])
    folder.rmdir()
    after = loaded(written)
    assert len(after.test) == len(before.test) - gone
    assert after.fingerprint != before.fingerprint


def test_what_is_wrong_is_one_line(written: Path) -> None:
    table = written / "root" / CSV
    text = table.read_text()
    with one_line(ValueError, "21 images, not 2100; data.verify=false"):
        loaded(written, verify=True)
    table.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    with one_line(ValueError, str(table), "has no line for n0"):
        loaded(written)
    table.write_text(text.replace(",dog,", ",wolf,"))
    with one_line(ValueError, str(table), "wolf"):
        loaded(written)
    table.unlink()
    with one_line(FileNotFoundError, "9class_imagenet_val.csv not found", "github.com/clovaai/rebias"):
        loaded(written)
