"""Batches by length, the search against a search of everything, and BLEU."""

import itertools

import pytest
import torch
from torch import Tensor

from training.distribution import World
from training.runtime import Model
from training.tasks import evaluate
from training.tasks.base import Turn
from training.tasks.translation import BOS, EOS, PAD, Translation, by_length, search

V = 6


class Table(torch.nn.Module):
    """A net whose next subword depends on the last one and on the source's first word alone."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = torch.randn(V, V, V, generator=torch.Generator().manual_seed(1)) * 2

    def encode(self, source: Tensor) -> Tensor:
        return source[:, :, None].float()

    def decode(self, source: Tensor, memory: Tensor, prefix: Tensor) -> Tensor:
        return self.logits[source[:, :1], prefix]

    def forward(self, source: Tensor, prefix: Tensor) -> Tensor:
        return self.decode(source, self.encode(source), prefix)


class Pairs:
    def __init__(self) -> None:
        self.sides = torch.tensor([[4, 3], [5, 3], [4, 3]]), torch.tensor([[2, 4, 5, 3], [2, 4, 3, 0], [2, 5, 5, 3]])
        self.lengths, self.subwords = torch.tensor([4, 3, 4]), torch.tensor([3, 2, 3])

    def __len__(self) -> int:
        return 3

    def batches(self, order, key=None):
        return ((self.sides[0][positions], self.sides[1][positions]) for positions in order)

    def decode(self, ids: Tensor) -> list[str]:
        return [" ".join(f"w{number}" for number in row if number > EOS) for row in ids.tolist()]


def best(net: Table, first: int, longest: int, penalty: float) -> list[int]:
    """Return the best of all translations of at most `longest` subwords, ended or as long as that."""
    found = []
    for length in range(1, longest + 1):
        for words in itertools.product(range(1, V), repeat=length):
            if EOS not in words[:-1] and (words[-1] == EOS or length == longest):
                logits = net.logits[first].index_fill(1, torch.tensor([PAD]), -torch.inf)
                logits = net.logits[first]
                steps = zip((BOS, *words), words, strict=False)
                total = sum(logits[a].log_softmax(0)[b].item() for a, b in steps)
                found.append((total / length**penalty, list(words)))
    return max(found)[1]


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_wide_search_finds_the_best_of_all(penalty: float) -> None:
    net, source = Table(), torch.tensor([[4, 3], [5, 3]])
    found = search(net, source, V**3, penalty, 3)
    for row, first in zip(found.tolist(), (4, 5), strict=True):
        assert [word for word in row if word != PAD] == best(net, first, 3, penalty)
    greedy = search(net, source, 1, penalty, 3)[:, 0]
    logits = net.logits[source[:, 0], BOS]
    logits[:, PAD] = -torch.inf
    assert torch.equal(greedy, logits.argmax(1))


def test_batches_hold_sentences_of_like_length_and_come_in_another_order() -> None:
    lengths = torch.tensor([5, 2, 9, 4, 4, 2, 30])
    batches = by_length(lengths, 12)
    assert sorted(torch.cat(batches).tolist()) == list(range(7))
    assert [lengths[batch].tolist() for batch in batches] == [[2, 2, 4], [4, 5], [9], [30]]
    split, task = Pairs(), Translation()
    orders = [[*map(len, task.order(split, 4, torch.Generator().manual_seed(seed)))] for seed in range(2)]
    assert [len(order) for order in orders] == [3, 3]


def test_loss_is_the_mean_over_subwords_and_bleu_is_sacrebleus() -> None:
    from sacrebleu import corpus_bleu

    split, net = Pairs(), Table()
    task, model = Translation(label_smoothing=0.1), Model(net, net, "fp32", torch.device("cpu"))
    task.prepare(split)
    (batch,) = split.batches([torch.arange(3)])
    assert task.size(torch.arange(3)) == 8
    turn = Turn(meter=task.meter())
    smoothed = task.loss(model, batch, turn).item()
    each = [
        -net.logits[s][a].log_softmax(0)
        for s, row in zip((4, 5, 4), split.sides[1].tolist(), strict=True)
        for a, b in itertools.pairwise(row)
        if b != PAD
    ]
    following = [b for row in split.sides[1].tolist() for b in row[1:] if b != PAD]
    plain = torch.stack([losses[b] for losses, b in zip(each, following, strict=True)]).mean()
    expected = 0.9 * plain + 0.1 * torch.stack(each).mean()
    assert smoothed == pytest.approx(expected.item(), rel=1e-5)
    assert turn.meter.result() == pytest.approx({"loss": plain.item()})
    found = evaluate(task, model, {"test": split}, 2, World())
    lines = split.decode(search(net, split.sides[0], 5, 1.0, 14))
    assert found["test_loss"] == pytest.approx(plain.item(), rel=1e-5)
    assert found["test_bleu"] == pytest.approx(corpus_bleu(lines, [split.decode(split.sides[1])]).score)
