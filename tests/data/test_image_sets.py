"""MHIST and ADP: formats, the decoded copy, and what is refused."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data import adp, mhist
from data.dataset import Dataset
from data.files import read_rgb
from data.memory import MemorySplit, Recipe
from data.stored import decoded
from tests.data.places import one_line, place


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sets, once: 8 training images each."""
    root = tmp_path_factory.mktemp("sets") / "root"
    mhist.write_synthetic(root, 8)
    adp.write_synthetic(root, 8)
    return root


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy whose small files may be changed; images are links."""
    for path in original.rglob("*"):
        target = tmp_path / "root" / path.relative_to(original)
        if path.suffix == ".png":
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
        elif path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path


def _mhist(folder: Path, **options: object):  # type: ignore[no-untyped-def]
    return mhist.mhist(place(folder), Recipe(), **{"verify": False} | options)


def _adp(folder: Path, **options: object):  # type: ignore[no-untyped-def]
    return adp.adp(place(folder), Recipe(), **{"verify": False} | options)


def test_mhist_reads_the_csv_and_moves_nothing(folder: Path) -> None:
    before = sorted((folder / "root").rglob("*"))
    loaded = _mhist(folder)
    assert sorted((folder / "root").rglob("*")) == before
    assert loaded.train.targets.tolist() == [0, 1] * 4  # HP is 0, SSA is 1
    assert loaded.test.targets.tolist() == [0, 1]
    for split, part in ((loaded.train, "train"), (loaded.test, "test")):
        for index in range(len(split)):
            pixels = np.asarray(Image.open(folder / f"root/mhist/images/MHIST_{part}{index}.png"))
            assert np.array_equal(split.images[index].permute(1, 2, 0).numpy(), pixels)


def test_the_decoded_copy_is_made_once_and_again_if_a_file_changes(folder: Path) -> None:
    first = _mhist(folder)
    made = {path: path.stat().st_mtime_ns for path in (folder / "cache").rglob("*")}
    assert _mhist(folder).fingerprint == first.fingerprint
    assert {path: path.stat().st_mtime_ns for path in (folder / "cache").rglob("*")} == made
    changed = folder / "root/mhist/images/MHIST_train0.png"
    changed.unlink()
    Image.new("RGB", (224, 224)).save(changed)
    second = _mhist(folder)
    assert second.fingerprint != first.fingerprint
    assert second.train.images[0].sum() == 0


def test_the_decoded_copy_is_mapped_and_training_cannot_write_to_it(folder: Path) -> None:
    images = _mhist(folder).train.images
    images.zero_()
    assert _mhist(folder).train.images.any()


def test_a_damaged_copy_is_refused(folder: Path) -> None:
    _mhist(folder)
    array = next((folder / "cache").rglob("images.npy"))
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    with one_line(ValueError, array.parent, "delete this folder"):
        _mhist(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", ("unreadable image",)), (b"\x89PNG\r\n\x1a\n", ("unreadable image",)), (None, ("not found",))],
)
def test_a_bad_image_is_named_and_nothing_is_left(folder: Path, content: bytes | None, words: tuple[str, ...]) -> None:
    path = folder / "root/mhist/images/MHIST_train3.png"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with one_line(FileNotFoundError if content is None else ValueError, path, *words):
        _mhist(folder)
    assert not any((folder / "cache").rglob("*"))


def test_a_truncated_image_is_named(folder: Path) -> None:
    path = folder / "root/mhist/images/MHIST_train3.png"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    with one_line(ValueError, path, "unreadable image"):
        _mhist(folder)


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    with one_line(ValueError, tmp_path / "a.png", "20x10", "not 16x16"):
        decoded(tmp_path / "cache", "some", {"train": [tmp_path / "a.png"]}, 16)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Majority Vote Label", "Label", ("its first line",)),
        ("SSA,6", "SSB,6", ("line 3", "SSB")),
        ("HP,1,train", "HP,1,valid", ("line 2", "valid")),
        ("MHIST_train0", "../MHIST_train0", ("line 2", "..")),
    ],
)
def test_a_wrong_annotation_is_named(folder: Path, old: str, new: str, words: tuple[str, ...]) -> None:
    path = folder / "root/mhist/annotations.csv"
    path.write_text(path.read_text().replace(old, new))
    with one_line(ValueError, path, *words):
        _mhist(folder)


CSVS = {
    "UTF-16": (lambda text: text.encode("utf-16"), "not UTF-8"),
    "Latin-1": (lambda text: text.replace("train0", "tr\u00e9").encode("latin-1"), "not UTF-8"),
    "empty": (lambda text: b"", "empty"),
    "NUL": (lambda text: text.replace("train0", "tr\0").encode(), "NUL"),
    "long": (lambda text: text.encode() + b"a" * 200_000, "field larger than field limit"),
}


@pytest.mark.parametrize("harm", CSVS)
def test_a_csv_of_another_kind_is_named(folder: Path, harm: str) -> None:
    change, words = CSVS[harm]
    for load, path in ((_mhist, folder / "root/mhist/annotations.csv"), (_adp, folder / "root" / adp.FOLDER / adp.CSV)):
        path.write_bytes(change(path.read_text().replace("000.png_crop_0", "train0")))
        with one_line(ValueError, path, words):
            load(folder)


def test_a_csv_of_excel_is_read(folder: Path) -> None:
    """UTF-8 with a byte order mark and CRLF."""
    path, expected = folder / "root/mhist/annotations.csv", _mhist(folder).fingerprint
    path.write_bytes(path.read_text().replace("\n", "\r\n").encode("utf-8-sig"))
    assert _mhist(folder).fingerprint == expected


def test_an_image_in_train_and_test_is_refused(folder: Path) -> None:
    path = folder / "root/mhist/annotations.csv"
    path.write_text(path.read_text() + "MHIST_train3.png,SSA,6,test\n")
    with one_line(ValueError, path, "'MHIST_train3.png' is listed twice"):
        _mhist(folder)
    splits = folder / "root" / adp.FOLDER / "splits"
    np.save(splits / "test.npy", np.array([10, 3], np.int32))
    with one_line(ValueError, splits, "3 is listed twice"):
        _adp(folder)


@pytest.mark.parametrize("load", [_mhist, _adp])
def test_16_bits_are_8_bits_with_more_digits(folder: Path, load: Callable[..., Dataset]) -> None:
    (path,) = (folder / "root").rglob("MHIST_train3.png") if load is _mhist else (folder / "root").rglob("003.png*")
    side = mhist.SIDE if load is _mhist else adp.SIDE
    ramp = np.tile(np.linspace(0, 255, side).astype(np.uint8), (side, 1))
    found = []
    for pixels in (ramp, ramp.astype(np.uint16) * 257):
        path.unlink()
        Image.fromarray(pixels).save(path)
        found.append(load(folder).train.images[3])
    assert torch.equal(*found)
    assert torch.equal(found[0][0], torch.from_numpy(ramp))


@pytest.mark.parametrize(("suffix", "dtype"), [("tif", np.uint16), ("tif", np.int32), ("tif", np.float32)])
def test_numbers_of_an_unknown_range_are_refused(tmp_path: Path, suffix: str, dtype: type) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.full((4, 4), 4000, dtype)).save(path)
    with one_line(ValueError, path, "whose range it does not tell"):
        read_rgb(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"])
def test_damage_of_any_kind_is_named(tmp_path: Path, kind: str) -> None:
    random, path = np.random.default_rng(0), tmp_path / "a"
    Image.fromarray(random.integers(0, 255, (8, 8, 3), np.uint8)).save(path, kind)
    whole, said = path.read_bytes(), []
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[random.integers(0, min(len(whole), 150))] = random.integers(0, 256)
        path.write_bytes(damaged)
        try:
            read_rgb(path)
        except ValueError as error:
            said.append(str(error))
    assert said
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in said)


def test_counts_are_verified(folder: Path) -> None:
    with one_line(ValueError, "annotations.csv", "2175", "data.verify=false"):
        _mhist(folder, verify=True)
    with one_line(ValueError, "train.npy", "14134", "data.verify=false"):
        _adp(folder, verify=True)


def test_missing(tmp_path: Path) -> None:
    with one_line(FileNotFoundError, "data=mhist", tmp_path, "bmirds.github.io/MHIST"):
        _mhist(tmp_path)
    with one_line(FileNotFoundError, "data=adp", tmp_path, "dsp.utoronto.ca"):
        _adp(tmp_path)


@pytest.mark.parametrize(("level", "count"), [("L1", 9), ("L2", 19), ("L2+", 26), ("L3Only", 22), ("L3+", 33)])
def test_adp_levels(level: str, count: int, folder: Path) -> None:
    names = adp.classes(level)
    assert len(names) == len(set(names)) == count
    loaded = _adp(folder, level=level)
    assert loaded.num_classes == count
    assert loaded.train.targets.shape == (8, count)
    assert loaded.train.targets.dtype == torch.float32
    rows = [line.split(",") for line in (folder / "root" / adp.FOLDER / adp.CSV).read_text().splitlines()]
    for sample in range(8):
        shown = {name for name, value in zip(rows[0], rows[1 + sample], strict=True) if value == "1"}
        assert {names[i] for i in loaded.train.targets[sample].nonzero().flatten()} == shown & set(names)


def test_adp_splits(folder: Path) -> None:
    def first(split: MemorySplit) -> torch.Tensor:
        return split.images[0]

    loaded, code = _adp(folder), _adp(folder, test_split="valid", validation=False)
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (8, 2, 2)
    assert code.validation is None
    assert torch.equal(first(code.test), first(loaded.validation))
    assert not torch.equal(first(loaded.test), first(loaded.validation))
    assert code.fingerprint != loaded.fingerprint
    pixels = np.asarray(Image.open(folder / "root" / adp.FOLDER / adp.IMAGES / "010.png_crop_10.png"))
    assert np.array_equal(first(loaded.test).permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"level": "L4"}, ("data.level", "L4", "L3Only")),
        ({"test_split": "train"}, ("data.test_split", "train")),
        ({"test_split": "valid"}, ("data.validation", "data.validation=false")),
    ],
)
def test_wrong_options(folder: Path, options: dict[str, str], words: tuple[str, ...]) -> None:
    with one_line(ValueError, *words):
        _adp(folder, **options)


def test_a_wrong_adp_file_is_named(folder: Path) -> None:
    release = folder / "root" / adp.FOLDER
    split = release / "splits" / "test.npy"
    np.save(split, np.array([3, 99], np.int32))
    with one_line(ValueError, split, "outside 0 to 11"):
        _adp(folder)
    np.save(split, np.array([3, 9.5]))
    with one_line(ValueError, split, "9.5 is not a whole number"):
        _adp(folder)
    np.save(split, np.array([print], object), allow_pickle=True)
    with one_line(ValueError, split, "not a readable array"):
        _adp(folder)
    split.unlink()
    with one_line(FileNotFoundError, split):
        _adp(folder)
    labels = release / adp.CSV
    content = labels.read_text()
    labels.write_text(content.replace(",1,", ",2,", 1))
    with one_line(ValueError, labels, "line 2"):
        _adp(folder)
    labels.write_text(content.replace("E.M.S", "EMS"))
    with one_line(ValueError, labels, "first line"):
        _adp(folder)
