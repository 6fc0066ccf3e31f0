"""Parallel texts: subwords, batches, and what is refused."""

from pathlib import Path

import pytest
import torch

from data.translation import BOS, EOS, PAD, translation
from tests.data.places import one_line, place

LINES = {"train": ("a b\n\nc d e\n", "x\ny\nz z"), "valid": ("a\n", "x\n"), "test": ("b", "y")}


def load(folder: Path, size: int = 16, **options: object):
    return translation(place(folder, facts={"num_classes": size}), path="pair", **options)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "pair"
    folder.mkdir(parents=True)
    for part, sides in LINES.items():
        for side, content in zip(("de", "en"), sides, strict=True):
            (folder / f"{part}.{side}").write_text(content)
    return tmp_path


def test_pairs_are_numbers_padded_and_come_back_as_text(written: Path) -> None:
    loaded = load(written)
    assert len(loaded.train) == 2  # the pair with an empty side is left out
    ((source, target),) = loaded.train.batches([torch.tensor([1, 0])])
    assert source[0, 0] == BOS
    assert (target[:, -1] == EOS).any()
    assert loaded.train.decode(source[:, 1:]) == ["c d e", "a b"]
    assert loaded.train.lengths.tolist() == [int((source[row] != PAD).sum()) for row in (1, 0)]
    assert loaded.train.subwords.tolist() == [int((target[row, 1:] != PAD).sum()) for row in (1, 0)]
    assert load(written).fingerprint == loaded.fingerprint  # by the model under the cache
    assert len([*(written / "cache" / "subwords").iterdir()]) == 1


def test_what_cannot_be_read_is_one_line(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with one_line(ValueError, "data.num_classes: 5000"):
        load(written, size=5000)
    load(written)
    (model,) = (written / "cache" / "subwords").iterdir()
    model.write_bytes(b"damaged")
    with one_line(ValueError, model, "damaged subword model"):
        load(written)
    folder = written / "root" / "pair"
    (folder / "test.en").write_text("y\ny\n")
    with one_line(ValueError, "test.en: 2 lines, but", "test.de has 1"):
        load(written)
    (folder / "test.en").write_bytes(b"\xff\xfe")
    with one_line(ValueError, "test.en: line 1 is not UTF-8 text"):
        load(written)
    (folder / "test.en").write_text("\n")
    with one_line(ValueError, "test.de: no pair of sentences"):
        load(written)
    (folder / "test.en").unlink()
    with one_line(FileNotFoundError, "test.en not found"):
        load(written)


def test_a_missing_library_is_one_line(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentencepiece", None)
    with one_line(ImportError, "sentencepiece not found", "pip install sentencepiece"):
        load(written)
