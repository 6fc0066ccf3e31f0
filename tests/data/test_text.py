"""Texts: numbers of words, files as people have them, and what is refused."""

from pathlib import Path

import torch

from data.text import text
from tests.data.places import one_line, place

LINES = {"train": "the cat sat\nthe dog sat\n", "valid": "the cat\n", "test": "the dog"}


def written(folder: Path, **changes: str | bytes) -> Path:
    (folder / "root" / "ptb").mkdir(parents=True)
    for part, content in (LINES | changes).items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / "root" / "ptb" / f"{part}.txt").write_bytes(data)
    return folder


def load(folder: Path, size: int = 5, **options: object):
    return text(place(folder, facts={"num_classes": size}), **options)


def test_words_are_numbered_by_how_frequent_they_are(tmp_path: Path) -> None:
    loaded = load(written(tmp_path))  # <eos> 2, sat 2, the 2, cat 1, dog 1
    assert loaded.train.words.tolist() == [2, 3, 1, 0, 2, 4, 1, 0]
    assert loaded.validation.words.tolist() == [2, 3, 0]
    assert loaded.test.words.tolist() == [2, 4, 0]  # the last line has no newline
    assert len(loaded.train) == 7
    ((words, following),) = loaded.train.batches([torch.tensor([[0, 1], [4, 5]])])
    assert (words.tolist(), following.tolist()) == ([[2, 3], [2, 4]], [[3, 1], [4, 1]])
    assert load(tmp_path, validation=False).validation is None


def test_a_smaller_vocabulary_has_unknown_words(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, test="the bird\n\nsat"), size=4)  # <eos>, <unk>, sat, the
    assert loaded.train.words.tolist() == [3, 1, 2, 0, 3, 1, 2, 0]
    assert loaded.test.words.tolist() == [3, 1, 0, 0, 2, 0]  # an empty line is an <eos>


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with one_line(FileNotFoundError, "data=text", "train.txt not found", "data.path"):
        load(tmp_path)
    written(tmp_path, valid="the cat\nthe bird\n")
    with one_line(ValueError, "valid.txt: line 2: 'bird' is not in the vocabulary, which has no <unk>"):
        load(tmp_path)
    with one_line(ValueError, "data.num_classes: 9, but", "has 5 different words"):
        load(tmp_path, size=9)
    (tmp_path / "root/ptb/test.txt").write_bytes(b"good\n\xff\xfe\n")
    with one_line(ValueError, "test.txt: line 2 is not UTF-8 text"):
        load(tmp_path, size=4)
    (tmp_path / "root/ptb/test.txt").write_bytes(b"")
    with one_line(ValueError, "test.txt: no words"):
        load(tmp_path, size=4)
