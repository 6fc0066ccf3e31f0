"""Spans and the measures of answers, against plain loops and the rules of SQuAD's official script."""

import pytest
import torch
from torch import Tensor, nn

from training.contract import rehearse
from training.meter import Meter
from training.runtime import Model
from training.tasks.base import Turn
from training.tasks.reading import MultipleChoice, QuestionAnswering, best, exact, f1

CPU = torch.device("cpu")


@pytest.mark.parametrize("longest", [1, 3, 20])
def test_the_best_span_is_that_of_a_plain_search(longest: int) -> None:
    generator = torch.Generator().manual_seed(longest)
    logits = torch.randn(6, 2, 12, generator=generator)
    context = torch.rand(6, 12, generator=generator) < 0.7
    context[:, 5] = True
    sums, first, last = best(logits, context, longest)
    for row in range(6):
        allowed = [n for n in range(12) if context[row, n]]
        pairs = [(a, b) for a in allowed for b in allowed if a <= b < a + longest]
        wanted = max(pairs, key=lambda pair, row=row: float(logits[row, 0, pair[0]] + logits[row, 1, pair[1]]))
        assert (int(first[row]), int(last[row])) == wanted
        assert float(sums[row]) == pytest.approx(float(logits[row, 0, wanted[0]] + logits[row, 1, wanted[1]]))


@pytest.mark.parametrize(
    ("said", "right", "equal", "shared"),
    [
        ("The Eiffel Tower!", "eiffel  tower", 1, 1),
        ("a red fox", "an old red fox", 0, 0.8),  # 2 of 2 words, 2 of 3
        ("fox fox", "fox", 0, 2 / 3),
        ("1,000", "1000", 1, 1),
        ("theatre", "atre", 0, 0),  # an article is a whole word
        ("mill", "fox", 0, 0),
        ("the", "an", 1, 0),  # nothing is left of both: equal, and no word is shared
    ],
)
def test_answers_are_compared_by_the_official_rules(said: str, right: str, equal: float, shared: float) -> None:
    assert exact(said, right) == equal
    assert f1(said, right) == pytest.approx(shared)


@pytest.mark.extras
def test_the_measures_are_those_of_torchmetrics() -> None:
    squad = pytest.importorskip("torchmetrics.functional.text").squad
    answers = [("the red fox", ["red fox", "fox"]), ("a mill.", ["old mill"]), ("away", ["the mill"]), ("x y", ["Y x"])]
    for said, rights in answers:
        known = {"answers": {"answer_start": [0] * len(rights), "text": rights}, "id": "1"}
        found = squad([{"prediction_text": said, "id": "1"}], [known])
        assert 100 * max(exact(said, right) for right in rights) == pytest.approx(float(found["exact_match"]))
        assert 100 * max(f1(said, right) for right in rights) == pytest.approx(float(found["f1"]), rel=1e-5)


class Fixed(nn.Module):
    """Answers each row with the logits that its ids are."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows[:, :2].float()


class Asked:
    """Two questions about one text."""

    def __len__(self) -> int:
        return 3

    def answer(self, number: int, begin: int, end: int) -> tuple[str, list[str]]:
        return "the red fox ran"[begin:end], [("a fox", "red fox")[number], "other"]


def test_a_questions_answer_is_the_best_of_its_windows() -> None:
    """Window 1 of question 0 has the larger sum, 5 + 4 against 3 + 3, and `fox` is right; question 1 gets `the red`."""
    rows = torch.zeros(3, 5, 4, dtype=torch.long)
    rows[:, 3], rows[:, 4] = torch.tensor([0, 4, 8, 12]), torch.tensor([3, 7, 11, 15])
    rows[0, 0, 0], rows[0, 1, 3] = 3, 3
    rows[1, 0, 2], rows[1, 1, 2] = 5, 4
    rows[2, 1, 1] = 1
    targets = torch.tensor([[0, 3, 0], [1, 2, 0], [0, 0, 1]])
    task, net = QuestionAnswering(64, longest=4), Fixed()
    assert [len(part) for part in task.held_out(Asked(), 2)] == [2, 1]
    meter = task.meter()
    task.evaluate(Model(net, net, "fp32", CPU), [(rows[:2], targets[:2]), (rows[2:], targets[2:])], meter)
    result = meter.result()
    assert result["exact_match"] == 50
    assert result["f1"] == pytest.approx(100 * (1 + 2 / 3) / 2)  # `red` has one word of `red fox`
    ends = torch.nn.functional.cross_entropy(rows[:, :2].float().flatten(0, 1), targets[:, :2].flatten())
    assert result["loss"] == pytest.approx(float(ends))


@pytest.mark.parametrize(("task", "shape"), [(QuestionAnswering(64), (2, 5, 9)), (MultipleChoice(64), (2, 4, 5, 9))])
def test_a_net_is_rehearsed_with_as_many_tokens_as_the_data_has(task, shape: tuple[int, ...]) -> None:
    """BERT has positions for 512."""
    rows = task.example({"length": 9})
    assert rows.shape == shape

    class Net(nn.Module):
        most = 9

        def forward(self, rows: Tensor) -> Tensor:
            if rows.shape[-1] > self.most:
                raise IndexError("no position for all")
            return rows[..., 0, 0].float() if rows.ndim == 4 else rows[:, :2].float()

    net = Net()
    rehearse(net, rows, 2, task.width)
    net.most = 8
    with pytest.raises(ValueError, match=r"^model: cannot take samples of .* x 9: no position for all$"):
        rehearse(net, rows, 2, task.width)


def test_the_loss_is_the_mean_of_both_ends_and_is_counted_a_row() -> None:
    rows = torch.randint(9, (5, 5, 7), generator=torch.Generator().manual_seed(0))
    targets, net, meter = torch.tensor([[1, 2, 0]] * 5), Fixed(), Meter()
    loss = QuestionAnswering(64).loss(Model(net, net, "fp32", CPU), (rows, targets), Turn(meter=meter))
    first, last = (torch.nn.functional.cross_entropy(rows[:, n].float(), targets[:, n]) for n in (0, 1))
    assert float(loss) == pytest.approx(float(first + last) / 2)
    assert meter.result()["loss"] == pytest.approx(float(loss))
