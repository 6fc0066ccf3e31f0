"""Pairs of texts in tokens: questions about a text (SQuAD 1.1, Rajpurkar et al. 2016), endings of a sentence (SWAG,
Zellers et al. 2018), and made-up sets in the formats of both.

<root>/squad/{train,dev}-v1.1.json and <root>/swag/{train,val}.csv. The second part is tested on, as in the literature.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from data.dataset import Dataset, Place, fingerprint, held_out, uniform
from data.files import complaint, read_csv, read_text, require
from data.needed import FILES
from data.synthetic import source, test_size

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

CHUNK = 1000  # pairs whose encodings, of 20 kB each, are held at once
HEADER = ["", "video-id", "fold-ind", "startphrase", "sent1", "sent2", "gold-source", "ending0", "ending1", "ending2"]
HEADER += ["ending3", "label"]
PADS = ("[PAD]", "<pad>")  # BERT's, RoBERTa's
Sample = TypeVar("Sample")
Pair = tuple[str, str]


class Question(NamedTuple):
    """A question about a text; start: of the first answer, in characters of the text."""

    text: str
    context: str
    answers: list[str]
    start: int


class TokenSplit:
    """rows: int32 [N, ..., 5, L]: ids, types, mask (1: no padding) of tokens, and where each begins and ends in the
    second text, -1 for all others. targets: int64 [N, ...]. Batches have both as int64."""

    def __init__(self, rows: Tensor, targets: Tensor, device: torch.device | str) -> None:
        self.rows, self.targets, self.device = rows, targets, device

    def __len__(self) -> int:
        return len(self.targets)

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield rows and targets at positions [B]. Nothing is drawn, whatever the key."""
        for positions in order:
            rows, targets = self.rows[positions].long(), self.targets[positions]
            yield rows.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True)


class QuestionSplit(TokenSplit):
    """Targets are the answer's first and last token, both 0 where a window has not all of it, and the question."""

    def __init__(self, questions: list[Question], coder: "Tokenizer", device: torch.device | str) -> None:
        self.questions, rows, targets = questions, [], []
        for number, window in windows(coder, [question[:2] for question in questions]):
            rows.append(_row(window))
            begin, end = questions[number].start, questions[number].start + len(questions[number].answers[0].strip())
            first, last = window.char_to_token(begin, 1), window.char_to_token(end - 1, 1)
            targets.append([0, 0, number] if first is None or last is None else [first, last, number])
        super().__init__(torch.from_numpy(np.stack(rows)), torch.tensor(targets), device)

    def answer(self, number: int, begin: int, end: int) -> tuple[str, list[str]]:
        """Return the characters from `begin` to `end` of a question's text, and the right answers."""
        return self.questions[number].context[begin:end], self.questions[number].answers


def squad(
    place: Place, *, generated: int = 0, length: int = 384, stride: int = 128, validation: float = 0.0,
    split_seed: int = 0, synthetic: int = 0,
) -> Dataset:  # fmt: skip
    """Load SQuAD 1.1: 87,599 questions for training, 10,570 for the test.

    The configuration's num_classes is the size of the vocabulary. generated: so many made-up questions in place of
    files. length: tokens of a question and its text; a longer text gives several windows, which share `stride` tokens.
    validation: share of the training questions that is held out. Raises ValueError naming file and line, or question.
    """
    root, _ = source(place, "reading", False, synthetic or generated, write_synthetic)
    known, asked = (questions(require("squad", root / file)) for file in FILES["squad"])
    coder = tokenizer(place, (text for question in known for text in question[:2]), length, stride)
    split = partial(QuestionSplit, coder=coder, device=place.device)
    return _dataset(place, "question_answering", known, asked, (validation, split_seed), split)


def swag(
    place: Place, *, generated: int = 0, length: int = 80, validation: float = 0.0, split_seed: int = 0,
    synthetic: int = 0,
) -> Dataset:  # fmt: skip
    """Load SWAG: 73,546 sentences with four endings for training, 20,006 for the test; see `squad`.

    What is longer than `length` tokens is cut off. Raises ValueError naming file and line.
    """
    root, _ = source(place, "reading", False, synthetic or generated, write_synthetic)
    known, asked = (endings(require("swag", root / file)) for file in FILES["swag"])
    coder = tokenizer(place, (text for pairs, _ in known for pair in pairs for text in pair), length)

    def split(some: list[tuple[list[Pair], int]]) -> TokenSplit:
        first = (window for _, window in windows(coder, [pair for pairs, _ in some for pair in pairs], long=False))
        rows = torch.from_numpy(np.stack([*map(_row, first)])).unflatten(0, (-1, 4))
        return TokenSplit(rows, torch.tensor([label for _, label in some]), place.device)

    return _dataset(place, "multiple_choice", known, asked, (validation, split_seed), split)


spans_small = partial(squad, generated=3000, length=24, stride=0)
choices_small = partial(swag, generated=3000, length=16)


def _dataset(
    place: Place, task: str, known: list[Sample], asked: list[Sample], held: tuple[float, int],
    split: Callable[[list[Sample]], TokenSplit],
) -> Dataset:  # fmt: skip
    if not known or not asked:
        raise ValueError(f"data: a part of {place.name or task} has no samples")
    fit, rest = held_out(len(known), *held)
    train, test = split([known[n] for n in fit]), split(asked)
    chosen = None if rest is None else split([known[n] for n in rest])
    used = [tensor for some in (train, chosen, test) if some for tensor in (some.rows, some.targets)]
    return Dataset(train, chosen, test, task, num_classes=place.facts["num_classes"], fingerprint=fingerprint(*used))


def questions(path: Path) -> list[Question]:
    """Read the questions of a part of SQuAD. Raises ValueError naming file and line, or file and question."""
    try:
        paragraphs = [part for article in json.loads(read_text(path))["data"] for part in article["paragraphs"]]
        return [_question(path, part["context"], asked) for part in paragraphs for asked in part["qas"]]
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: line {error.lineno}: {error.msg}") from error
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{path}: not in the format of SQuAD 1.1: {complaint(error)}") from error


def _question(path: Path, context: str, asked: dict[str, Any]) -> Question:
    answers = [(answer["text"], answer["answer_start"]) for answer in asked["answers"]]
    wrong = (f"{text!r} is not at character {at}" for text, at in answers if context[at : at + len(text)] != text)
    if odd := next(wrong, "" if any(text.strip() for text, _ in answers[:1]) else "no answer"):
        raise ValueError(f"{path}: question {asked['id']}: {odd} of its text")
    text, start = answers[0]
    start += len(text) - len(text.lstrip())
    return Question(asked["question"].strip(), context, [text for text, _ in answers], start)


def endings(path: Path) -> list[tuple[list[Pair], int]]:
    """Read a part of SWAG: the sentence with each of its endings, and which is right."""
    rows = read_csv(
        path, HEADER, "a sentence with a label from 0 to 3", lambda fields: fields[-1] in ("0", "1", "2", "3")
    )
    return [([(row[4], f"{row[5]} {ending}") for ending in row[7:11]], int(row[11])) for row in rows]


def tokenizer(place: Place, texts: Iterable[str], length: int, stride: int | None = None) -> "Tokenizer":
    """Return what cuts pairs of texts into `length` tokens: tokenizer.json of the folder place.pretrained.

    Without one: the most frequent words of `texts`, in lower case, and special tokens like BERT's. stride: tokens that
    two windows of a long second text share; None: what is too long is cut off. Raises ValueError.
    """
    from tokenizers import Tokenizer

    size, file = place.facts["num_classes"], place.pretrained and place.pretrained / "tokenizer.json"
    try:
        coder = Tokenizer.from_file(str(file)) if file else words(texts, size)
    except Exception as error:  # the library has none of its own
        raise ValueError(f"model.weights: {file}: no tokenizer: {complaint(error)}") from error
    pads = [token for token in PADS if coder.token_to_id(token) is not None]
    if not pads or coder.get_vocab_size() > size:
        found = f"{coder.get_vocab_size()} tokens" if pads else f"none of {', '.join(PADS)}"
        raise ValueError(f"model.weights: {file} has {found}, where data.num_classes={size}")
    coder.enable_padding(length=length, pad_id=coder.token_to_id(pads[0]), pad_token=pads[0])
    try:
        coder.enable_truncation(
            length, stride=stride or 0, strategy="longest_first" if stride is None else "only_second"
        )
    except Exception as error:  # the library has none of its own
        raise ValueError(f"data.stride: {stride} leaves no room in windows of data.length={length}") from error
    return coder


def words(texts: Iterable[str], size: int) -> "Tokenizer":
    """Return a tokenizer of the `size` most frequent words of texts, special tokens among them."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    coder = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    coder.normalizer, coder.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    coder.train_from_iterator(texts, trainers.WordLevelTrainer(vocab_size=size, special_tokens=special))
    coder.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return coder


def windows(coder: "Tokenizer", pairs: list[Pair], long: bool = True) -> Iterator[tuple[int, "Encoding"]]:
    """Yield the windows of each pair, with the pair's number; without `long` the first alone."""
    for start in range(0, len(pairs), CHUNK):
        try:
            found = coder.encode_batch(pairs[start : start + CHUNK])
        except Exception as error:  # of a first text that alone is too long
            raise ValueError(f"data.length: too few tokens for a question and text: {complaint(error)}") from error
        for number, whole in enumerate(found, start):
            yield from ((number, window) for window in (whole, *(whole.overflowing if long else ())))


def _row(window: "Encoding") -> "np.typing.NDArray[np.int32]":
    second = zip(window.offsets, window.sequence_ids, strict=True)
    begin, end = zip(*(place if text == 1 else (-1, -1) for place, text in second), strict=True)
    return np.array([window.ids, window.type_ids, window.attention_mask, begin, end], np.int32)


def write_synthetic(root: Path, size: int) -> None:
    """Write `size` training samples in both formats: which of four phrases is of the kind that is named?"""
    for file in (*FILES["squad"], *FILES["swag"]):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
    for key, count in enumerate((size, test_size(size))):
        asked, rows = [], [HEADER]
        for number, (kind, phrases, right) in enumerate(_phrases(key, count)):
            context = " ".join(f"the {phrase} ." for phrase in phrases)
            answer = {"text": phrases[right], "answer_start": context.index(f"the {phrases[right]} .") + 4}
            qas = [{"id": str(number), "question": f"which {kind} ?", "answers": [answer]}]
            asked.append({"context": context, "qas": qas})
            rows.append([str(number), "", "", f"one {kind} . the", f"one {kind} .", "the", "", *phrases, str(right)])
        (root / [*FILES["squad"]][key]).write_text(json.dumps({"data": [{"title": "", "paragraphs": asked}]}, indent=1))
        with (root / [*FILES["swag"]][key]).open("w", newline="") as table:
            csv.writer(table).writerows(rows)


def _phrases(key: int, count: int) -> Iterator[tuple[str, list[str], int]]:
    """Draw a kind, four phrases of different kinds out of eight, of one or two words, and which is of that kind."""
    for drawn in uniform(key, torch.arange(count), 17).tolist():
        kinds, phrases = sorted(range(8), key=drawn.__getitem__)[:4], []
        for kind, one, other in zip(kinds, drawn[8:12], drawn[12:16], strict=True):
            before = f"a{kind}x{int(one * 6)} " if one < 0.5 else ""
            phrases.append(f"{before}n{kind}x{int(other * 3)}")
        right = int(drawn[16] * 4)
        yield f"kind{kinds[right]}", phrases, right
