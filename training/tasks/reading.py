"""Fine-tuning of encoders that read (SING, C.3): the span of a text that answers a question, and the right ending."""

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from training.meter import Meter, Scores
from training.mixing import Batch
from training.runtime import Model
from training.tasks.base import Split, Supervised
from training.tasks.classification import Multiclass

BEGIN, END = 3, 4  # the rows of a batch that say where tokens are in the text, -1 outside it (data/reading.py)
ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


class Questions(Split, Protocol):
    """A split of questions."""

    def answer(self, number: int, begin: int, end: int) -> tuple[str, list[str]]:
        """Return the characters from `begin` to `end` of a question's text, and the right answers."""


class QuestionAnswering(Supervised):
    """Measures loss, in nats a token, exact_match and f1, by the official script's rules (Rajpurkar et al. 2016).

    The net is called with rows of tokens [B, 5, L] and returns logits [B, 2, L] of the first and the last token.
    Targets are [B, 3]: both tokens, and the number of the question.
    """

    width = 2

    def __init__(self, num_classes: int, longest: int = 30) -> None:
        """longest: tokens of an answer at most."""
        super().__init__(num_classes)
        self.longest = longest

    def held_out(self, split: Split, batch_size: int) -> Sequence[Tensor]:
        """Return the positions of each batch, and note whose texts they are."""
        self.asked = cast(Questions, split)
        return super().held_out(split, batch_size)

    def criterion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of both tokens."""
        return F.cross_entropy(outputs.flatten(0, 1), targets[:, :2].flatten())

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss of each row."""
        return {"loss": F.cross_entropy(outputs.movedim(1, 2), targets[:, :2], reduction="none").mean(1)}

    def example(self, facts: Mapping[str, Any]) -> Tensor:
        """Return two rows of equal tokens: a net may have no positions for so many."""
        return torch.ones(2, 5, facts["length"], dtype=torch.int64)

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Count the loss, and keep the best span of each window."""
        for rows, targets in batches:
            logits = self.outputs(model, (rows, targets))
            sums, first, last = best(logits, rows[:, BEGIN] >= 0, self.longest)
            begin, end = (rows[:, row].gather(1, token[:, None]) for row, token in ((BEGIN, first), (END, last)))
            found = torch.cat((targets[:, 2:], begin, end), 1)
            meter.update(self.measure(logits, targets), (sums[:, None], found))

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return the loss and, of an evaluation, both measures of each question's best span."""
        if not scores:
            return means
        sums, spans = (torch.cat(column).cpu() for column in zip(*scores, strict=True))
        ordered = spans[sums[:, 0].argsort(stable=True)].tolist()
        answers = [
            self.asked.answer(*span) for span in {span[0]: span for span in ordered}.values()
        ]  # the last is best
        measured = [
            [max(measure(said, right) for right in rights) for measure in (exact, f1)] for said, rights in answers
        ]
        both = 100 * torch.tensor(measured, dtype=torch.float64, device=means["loss"].device).mean(0)
        return means | {"exact_match": both[0], "f1": both[1]}


class MultipleChoice(Multiclass):
    """Which of four texts follows? Measures loss and top1; the net returns a logit [B, 4] for each."""

    width: int = 4

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return loss and top1 of each sample; the five best of four are no measure."""
        return {name: value for name, value in super().measure(outputs, targets).items() if name != "top5"}

    def example(self, facts: Mapping[str, Any]) -> Tensor:
        """Return two samples of equal tokens."""
        return torch.ones(2, self.width, 5, facts["length"], dtype=torch.int64)


def best(logits: Tensor, inside: Tensor, longest: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the largest sum [B] of two logits of a span inside the text, and its first and last token, [B] each.

    logits: [B, 2, L]. inside: bool [B, L], tokens of the text. longest: tokens of a span at most.
    """
    first, last = logits.masked_fill(~inside[:, None], -torch.inf).unbind(1)
    sums = first[:, :, None] + last[:, None, :]
    allowed = torch.ones_like(sums[0], dtype=torch.bool).triu().tril(longest - 1)
    values, flat = sums.masked_fill(~allowed, -torch.inf).flatten(1).max(1)
    return values, flat // sums.shape[2], flat % sums.shape[2]


def normal(answer: str) -> list[str]:
    """Return the words of an answer as the official script compares them: no case, punctuation, or articles."""
    return ARTICLES.sub(" ", answer.lower().translate(PUNCTUATION)).split()


def exact(said: str, right: str) -> float:
    """Return 1 for equal answers, else 0."""
    return float(normal(said) == normal(right))


def f1(said: str, right: str) -> float:
    """Return the harmonic mean of precision and recall of an answer's words."""
    ours, theirs = normal(said), normal(right)
    shared = (Counter(ours) & Counter(theirs)).total()
    return 2 * shared / (len(ours) + len(theirs)) if shared else 0.0
