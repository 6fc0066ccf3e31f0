"""Windows of a text, perplexity, and what is carried from window to window."""

import math

import pytest
import torch
from torch.nn import functional as F

from training.distribution import World
from training.runtime import Model
from training.tasks import evaluate
from training.tasks.base import Turn
from training.tasks.language import Language, lengths, windows

CPU = torch.device("cpu")


class Text:
    """A text whose words are their own positions, so that a net can tell whether windows follow each other."""

    def __init__(self, words: int) -> None:
        self.words = torch.arange(words + 1)

    def __len__(self) -> int:
        return len(self.words) - 1

    def batches(self, order, key=None):
        return ((self.words[positions], self.words[positions + 1]) for positions in order)


class Counting(torch.nn.Module):
    """Carries the last word of each column, and fails where a window does not go on from it."""

    def forward(self, words, carried):
        if carried is not None:
            assert torch.equal(carried + 1, words[:, 0])
        return F.one_hot(words + 1, 200) * 3.0, words[:, -1], torch.tensor(0.25)


def model() -> Model:
    net = Counting()
    return Model(net, net, "fp32", CPU)


@pytest.mark.parametrize("total", [3, 11, 70, 71, 929_589 // 80])
def test_random_windows_fill_the_text_and_are_as_many_in_each_epoch(total: int) -> None:
    cuts = [lengths(total, 70, torch.Generator().manual_seed(seed)) for seed in range(5)]
    assert {len(cut) for cut in cuts} == {len(cuts[0])}
    assert all(sum(cut) == total and min(cut) > 0 for cut in cuts)
    if total > 1000:
        assert cuts[0] != cuts[1]
        spread = torch.tensor(cuts[0]).double()
        assert spread.mean().item() == pytest.approx(0.975 * 70, rel=0.01)
        assert spread[spread > 50].std().item() == pytest.approx(5, rel=0.25)


def test_an_epoch_goes_through_every_column_in_order() -> None:
    task, split = Language(bptt=8), Text(103)
    order = task.order(split, 4, torch.Generator().manual_seed(0))
    columns = torch.cat(list(order), 1)
    assert torch.equal(columns, torch.arange(100).view(4, 25))  # the rest of the division is left out
    assert [task.rate(positions) for positions in order] == [positions.shape[1] / 8 for positions in order]
    assert [w.shape for w in windows(25, 4, 10)] == [(4, 10), (4, 10), (4, 5)]
    fixed = Language(bptt=10, random_length=False)
    assert [fixed.rate(positions) for positions in fixed.order(split, 4, torch.Generator())] == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="batch_size: 200 columns of a text of 103 words"):
        task.order(split, 200, torch.Generator())


def test_loss_and_perplexity_are_those_of_the_words_in_windows_that_go_on() -> None:
    task, split, net = Language(bptt=8, eval_columns=3, eval_bptt=5), Text(49), model()
    expected = math.log(math.exp(3) + 199) - 3
    assert [tuple(positions.shape) for positions in task.held_out(split, 1)] == [(3, 5), (3, 5), (3, 5), (3, 1)]
    found = evaluate(task, net, {"test": split}, 1, World())
    assert found == pytest.approx({"test_loss": expected, "test_perplexity": math.exp(expected)})
    turn = Turn(meter=task.meter())
    for batch in split.batches(task.order(split, 2, torch.Generator())):
        assert task.loss(net, batch, turn).item() == pytest.approx(expected + 0.25)
    assert turn.meter.result()["loss"] == pytest.approx(expected)  # without the penalty
    assert turn.carried.tolist() == [23, 47]
