"""Pairs of sentences in two languages, cut into subwords by sentencepiece.

<root>/<path>/{train,valid,test}.<language>: UTF-8, a sentence a line, the same line in both files of a part. A pair
with an empty side is left out, as the field's cleaning scripts do.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from data.dataset import Dataset, Place, fingerprint, uniform
from data.files import read_lines, require
from data.stored import published
from data.synthetic import source, test_size

PARTS, PAD, UNKNOWN, BOS, EOS = ("train", "valid", "test"), 0, 1, 2, 3
Pair = tuple[str, str]


def translation(
    place: Place,
    *,
    path: str = "iwslt14",
    languages: Sequence[str] = ["de", "en"],
    validation: bool = True,
    synthetic: int = 0,
) -> Dataset:
    """Load the three parts of a parallel text from <root>/<path>.

    languages: from which to which. The configuration's num_classes is the number of subwords, of both languages
    together; their model is learnt from the training part (byte-pair encoding) and kept under the cache. Raises
    ValueError naming the file, ImportError naming the extra where sentencepiece is missing.
    """
    size = place.facts["num_classes"]
    root, _ = source(place, "translation", False, synthetic, lambda root, size: write_synthetic(root, size, path))
    folder = root / path
    sides = ("de", "en") if synthetic else languages
    texts = [pairs(place.name or "iwslt14", *(folder / f"{part}.{side}" for side in sides)) for part in PARTS]
    coder = Subwords(place.cache / "subwords", texts[0], size, bool(synthetic))
    train, valid, test = (PairSplit(some, coder, place.device) for some in texts)
    digest = fingerprint(*(number for split in (train, valid, test) for side in split.sides for number in side))
    return Dataset(train, valid if validation else None, test, "translation", num_classes=size, fingerprint=digest)


translation_small = partial(translation, path="translation_small")


def pairs(name: str, first: Path, second: Path) -> list[Pair]:
    """Read the pairs of a part. Raises ValueError for files of different lengths, or that are not text."""
    sides = [read_lines(require(name, path)) for path in (first, second)]
    if len(sides[0]) != len(sides[1]):
        raise ValueError(f"{second}: {len(sides[1])} lines, but {first} has {len(sides[0])}")
    found = [(one, other) for one, other in zip(*sides, strict=True) if one.strip() and other.strip()]
    if not found:
        raise ValueError(f"{first}: no pair of sentences")
    return found


class Subwords:
    """The subwords of a parallel text; a model that is there for the same text and size is read back."""

    def __init__(self, cache: Path, texts: list[Pair], size: int, whole_words: bool) -> None:
        try:
            import sentencepiece
        except ImportError as error:
            raise ImportError("data: sentencepiece not found; pip install sentencepiece") from error
        lines = [line for pair in texts for line in pair]
        digest = hashlib.sha256("\n".join([str(size), *lines]).encode()).hexdigest()[:16]
        path = cache / f"{digest}.model"
        if not path.exists():
            made = io.BytesIO()
            kind = "word" if whole_words else "bpe"
            try:
                sentencepiece.SentencePieceTrainer.train(
                    sentence_iterator=iter(lines), model_writer=made, vocab_size=size, model_type=kind,
                    use_all_vocab=whole_words, pad_id=PAD, unk_id=UNKNOWN, bos_id=BOS, eos_id=EOS, minloglevel=2,
                )  # fmt: skip
            except RuntimeError as error:  # more subwords than the text has, mostly
                raise ValueError(f"data.num_classes: {size}: {str(error).splitlines()[0]}") from error
            with published(path) as draft:
                draft.write_bytes(made.getvalue())
        try:
            self.model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{path}: damaged subword model; delete it and run again") from error

    def encode(self, lines: list[str]) -> list[Tensor]:
        """Return the numbers of each line's subwords, BOS before and EOS after them."""
        return [torch.tensor(ids) for ids in self.model.encode(lines, add_bos=True, add_eos=True)]

    def decode(self, ids: Tensor) -> list[str]:
        """Return the lines that rows [B, L] stand for, each up to its first EOS."""
        rows = [row[: row.index(EOS)] if EOS in row else row for row in ids.tolist()]
        lines: list[str] = self.model.decode([[number for number in row if number > EOS] for row in rows])
        return lines


class PairSplit:
    """Sentences as numbers. `lengths` [N] are those of the longer side, with BOS and EOS; `subwords` [N] are those of
    the target that are to be predicted, with EOS alone.
    """

    def __init__(self, texts: list[Pair], coder: Subwords, device: torch.device | str) -> None:
        self.sides = [coder.encode(list(side)) for side in zip(*texts, strict=True)]
        self.lengths = torch.tensor([max(map(len, pair)) for pair in zip(*self.sides, strict=True)])
        self.subwords = torch.tensor([len(target) - 1 for target in self.sides[1]])
        self.decode, self.device = coder.decode, device

    def __len__(self) -> int:
        return len(self.lengths)

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield both sides of the pairs at positions [B], padded: int64 [B, S] and [B, T]. Nothing is drawn."""
        for positions in order:
            source, target = (
                pad_sequence([side[n] for n in positions.tolist()], batch_first=True, padding_value=PAD)
                for side in self.sides
            )
            yield source.to(self.device, non_blocking=True), target.to(self.device, non_blocking=True)


def write_synthetic(root: Path, size: int, path: str) -> None:
    """Write pairs of which the second is the first word by word, in reverse."""
    (root / path).mkdir(parents=True)
    for key, (part, count) in enumerate(zip(PARTS, (size, test_size(size), test_size(size)), strict=True)):
        drawn = (uniform(key, torch.arange(count), 9) * 12).long()
        lengths = 3 + drawn[:, 8] % 6
        rows = [row[:length].tolist() for row, length in zip(drawn, lengths.tolist(), strict=True)]
        for side, words, step in (("de", "ein", 1), ("en", "one", -1)):
            lines = [" ".join(f"{words}{n}" for n in row[::step]) for row in rows]
            (root / path / f"{part}.{side}").write_text("\n".join(lines) + "\n")
