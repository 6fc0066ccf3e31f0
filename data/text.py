"""Texts in the layout of the Penn Treebank as language models use it (Mikolov et al. 2010): three files of words.

<root>/<path>/{train,valid,test}.txt: UTF-8, a sentence a line, words apart by blanks. Each line is followed by the word
<eos>; an empty line is that word alone, as in the field's own readers, and the last line may end without a newline.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.dataset import Dataset, Place, fingerprint, uniform
from data.files import read_lines, require
from data.synthetic import source, test_size

PARTS, EOS, UNKNOWN = ("train", "valid", "test"), "<eos>", "<unk>"


def text(place: Place, *, path: str = "ptb", validation: bool = True, synthetic: int = 0) -> Dataset:
    """Load a text from <root>/<path>; the Penn Treebank has 929,589, 73,760 and 82,430 words with <eos>.

    The configuration's num_classes is the size of the vocabulary: the training part's most frequent words, <eos> and
    <unk>, which stands for all others. validation: hand out valid.txt. Raises ValueError naming file and line.
    """
    size = place.facts["num_classes"]
    root, _ = source(place, f"text{size}", False, synthetic, partial(write_synthetic, path=path, words=size))
    files = [root / path / f"{part}.txt" for part in PARTS]
    lines = [read(require(place.name or "text", file)) for file in files]
    numbers = vocabulary(lines[0], size, files[0])
    parts = [numbered(some, numbers, file) for some, file in zip(lines, files, strict=True)]
    train, valid, test = (TextSplit(part.to(place.device)) for part in parts)
    held = valid if validation else None
    return Dataset(train, held, test, "language", num_classes=size, fingerprint=fingerprint(*parts))


text_small = partial(text, path="text_small")
wikitext103 = partial(text, path="wikitext-103")


def read(path: Path) -> list[list[str]]:
    """Read the words of each line, <eos> at its end."""
    words = [[*line.split(), EOS] for line in read_lines(path)]
    if len(words) == 1 and len(words[0]) == 1:
        raise ValueError(f"{path}: no words")
    return words


def vocabulary(lines: list[list[str]], size: int, path: Path) -> dict[str, int]:
    """Number the `size` most frequent words, of equals the first in the alphabet first; see `text`."""
    counts = Counter(word for line in lines for word in line)
    if len(counts) < size:
        raise ValueError(f"data.num_classes: {size}, but {path} has {len(counts)} different words, <eos> among them")
    first = [EOS, UNKNOWN] if UNKNOWN in counts or len(counts) > size else [EOS]
    others = sorted(counts.keys() - {*first}, key=lambda word: (-counts[word], word))
    return {word: number for number, word in enumerate([*first, *others][:size])}


def numbered(lines: list[list[str]], numbers: dict[str, int], path: Path) -> Tensor:
    """Return a part's words as numbers, int64 [N]."""
    unknown = numbers.get(UNKNOWN)
    found = []
    for number, line in enumerate(lines, start=1):
        for word in line:
            index = numbers.get(word, unknown)
            if index is None:
                raise ValueError(f"{path}: line {number}: {word!r} is not in the vocabulary, which has no {UNKNOWN}")
            found.append(index)
    return torch.tensor(found)


class TextSplit:
    """A text on one device. A position is a word that another one follows."""

    def __init__(self, words: Tensor) -> None:
        self.words = words

    def __len__(self) -> int:
        return len(self.words) - 1

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the words at positions [B, L], and those that follow them. Nothing is drawn, whatever the key."""
        for positions in order:
            index = positions.to(self.words.device, non_blocking=True)
            yield self.words[index], self.words[index + 1]


def write_synthetic(root: Path, size: int, path: str, words: int) -> None:
    """Write `size` lines for training in which a word mostly decides the next; every word is there."""
    (root / path).mkdir(parents=True)
    for key, (part, lines) in enumerate(zip(PARTS, (size, test_size(size), test_size(size)), strict=True)):
        length = max(8, -(-words // size))
        chance = uniform(key, torch.arange(lines * length), 2).numpy()
        chain = np.arange(lines * length) % (words - 1)  # all words in turn, one in four by chance
        chain = np.where(chance[:, 0] < 0.25, (chance[:, 1] * (words - 1)).astype(int), chain)
        if part == "train":
            chain[: words - 1] = np.arange(words - 1)
        text = "\n".join(" ".join(f"w{word}" for word in row) for row in chain.reshape(lines, length))
        (root / path / f"{part}.txt").write_text(text + "\n")
