"""Sentences into another language: cross-entropy of each subword, and BLEU of what beam search finds.

The net is called with a source [B, S] and the target up to each subword [B, T], and returns logits [B, T, V]. Its
`encode` and `decode` are called by the search.
"""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from training.meter import Meter, Scores
from training.mixing import Batch
from training.runtime import Model, autocast
from training.tasks.base import Split, Task, Turn

PAD, BOS, EOS = 0, 2, 3  # as data/translation.py numbers them


class Pairs(Split, Protocol):
    """A split of pairs of sentences; subwords: [N], how many of the target there are to predict."""

    lengths: Tensor
    subwords: Tensor

    def decode(self, ids: Tensor) -> list[str]:
        """Return the texts of rows of subwords."""


class Net(Protocol):
    """What the search asks of a net."""

    def encode(self, source: Tensor) -> Tensor:
        """Return what the decoder attends to, [B, S, width]."""

    def decode(self, source: Tensor, memory: Tensor, prefix: Tensor) -> Tensor:
        """Return the logits [B, T, V] of the subwords that follow each prefix of prefix [B, T]."""


class Translation(Task):
    """Measures loss, in nats a subword, and BLEU, by sacrebleu on whole words.

    A batch holds sentences of like length, as many as batch_size subwords of the longer side take with padding.
    """

    def __init__(
        self, label_smoothing: float = 0.0, beam: int = 5, length_penalty: float = 1.0, longest: int = 200
    ) -> None:
        """beam: hypotheses kept. length_penalty: exponent of the length that scores are divided by. longest: target."""
        if find_spec("sacrebleu") is None:
            raise ImportError("task=translation: sacrebleu not found; pip install sacrebleu")
        self.label_smoothing = label_smoothing
        self.beam, self.length_penalty, self.longest = beam, length_penalty, longest

    def prepare(self, train: Split) -> None:
        """Take how subwords are joined, and how many each target has."""
        self.text, self.subwords = cast(Pairs, train).decode, cast(Pairs, train).subwords

    def order(self, split: Split, batch_size: int, generator: torch.Generator) -> Sequence[Tensor]:
        """Return the same batches in each epoch, in another order."""
        batches = by_length(cast(Pairs, split).lengths, batch_size)
        return [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]

    def size(self, positions: Tensor) -> int:
        """Return the number of subwords to predict."""
        return int(self.subwords[positions].sum())

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """Return the logits of the target."""
        return torch.as_tensor(model(batch[0], batch[1][:, :-1])).float()

    def loss(self, model: Model, batch: Batch, turn: Turn) -> Tensor:
        """Return the mean cross-entropy of a subword, with label smoothing."""
        logits, following = self.outputs(model, batch).flatten(0, 1), batch[1][:, 1:].flatten()
        if turn.meter is not None:
            turn.meter.update({"loss": plain(logits.detach(), following)})
        return F.cross_entropy(logits, following, ignore_index=PAD, label_smoothing=self.label_smoothing)

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Count the loss, and keep what the search finds beside the references."""
        for batch in batches:
            logits = self.outputs(model, batch).flatten(0, 1)
            longest = min(self.longest, 2 * batch[0].shape[1] + 10)
            with autocast(model.precision, model.device):
                found = search(cast(Net, model.net), batch[0], self.beam, self.length_penalty, longest)
            meter.update({"loss": plain(logits, batch[1][:, 1:].flatten())}, (found, batch[1][:, 1:]))

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return the loss and, of an evaluation, BLEU."""
        if not scores:
            return means
        from sacrebleu import corpus_bleu

        found, references = ([line for ids in side for line in self.text(ids)] for side in zip(*scores, strict=True))
        bleu = corpus_bleu(found, [references]).score
        return means | {"bleu": torch.tensor(bleu, dtype=torch.float64, device=means["loss"].device)}


def plain(logits: Tensor, following: Tensor) -> Tensor:
    """Return the cross-entropy of each subword that is no padding."""
    kept = following != PAD
    return F.cross_entropy(logits[kept], following[kept], reduction="none")


def by_length(lengths: Tensor, subwords: int) -> list[Tensor]:
    """Part sentences, sorted by length, into batches of at most `subwords` with padding, or of one sentence."""
    batches: list[list[int]] = [[]]
    for position in lengths.argsort(stable=True).tolist():
        if batches[-1] and (len(batches[-1]) + 1) * int(lengths[position]) > subwords:  # it is the longest so far
            batches.append([])
        batches[-1].append(position)
    return [torch.tensor(batch) for batch in batches]


@torch.no_grad()
def search(net: Net, source: Tensor, beam: int, penalty: float, longest: int) -> Tensor:
    """Return the best translation of each row that beam search finds, [B, L] without BOS, padded after EOS.

    A hypothesis that has ended stays among its row's `beam`, with its score; scores are log-probabilities over
    length ** penalty.
    """
    rows = len(source)
    source = source.repeat_interleave(beam, 0)
    memory = net.encode(source)
    found = source.new_full((rows * beam, 1), BOS)
    total = memory.new_full((rows, beam), -torch.inf, dtype=torch.float32)
    total[:, 0] = 0  # at first all hypotheses of a row are one
    for _ in range(longest):
        ended = (found[:, -1:] == EOS) | (found[:, -1:] == PAD)
        logs = net.decode(source, memory, found)[:, -1].float().log_softmax(1)
        logs[:, PAD] = -torch.inf
        stay = torch.full_like(logs, -torch.inf)
        stay[:, PAD] = 0
        logs = torch.where(ended, stay, logs)
        sums = total.view(-1, 1) + logs
        lengths = (found != PAD).sum(1, keepdim=True) - 1 + (~ended).long()
        ranked = (sums / lengths.clamp(min=1) ** penalty).view(rows, -1).topk(beam).indices
        total = sums.view(rows, -1).gather(1, ranked)
        parents = ranked // logs.shape[1] + beam * torch.arange(rows, device=source.device)[:, None]
        found = torch.cat((found[parents.flatten()], (ranked % logs.shape[1]).view(-1, 1)), 1)
        if ((found[:, -1] == EOS) | (found[:, -1] == PAD)).all():
            break
    return found.view(rows, beam, -1)[:, 0, 1:]
