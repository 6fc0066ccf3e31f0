"""Anyone's optimizer trains as it is, or is refused or fails; none ends as if it had trained."""

import pytest
import torch

import train
from conf.errors import UsageError
from record.read import read_result, status
from tests.train.conftest import folder
from training.contract import rehearse
from training.distribution import World
from training.runtime import pick_device
from training.tasks.classification import Multiclass

SHORT = ("budget=steps", "budget.steps=2", "warnings=false", "batch_size=720")


def stranger(name: str, args: str = "{lr: 0.1}") -> tuple[str, ...]:
    target = f"optimizer.target=tests.train.strangers.{name}" if "." not in name else f"optimizer.target={name}"
    return ("optimizer=custom", target, f"optimizer.args={args}", *SHORT)


def test_every_convention_of_a_step_is_served(make) -> None:
    plain = make(*stranger("torch.optim.SGD", "{lr: 0.1, fused: false}"))
    for name in ("Number", "Nothing"):
        assert make(*stranger(name))["weights_sha256"] == plain["weights_sha256"]
    served = make(*stranger("NoGrad"))
    assert served["metrics"]["test_loss"] == pytest.approx(plain["metrics"]["test_loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("Rateless", "{}", "Rateless has no `lr`"),
        ("Closed", "{lr: 0.1}", "Closed.step takes no closure"),
        ("LeavesAtOnce", "{lr: 0.1}", "LeavesAtOnce: SystemExit: 0"),
    ],
)
def test_what_the_loop_cannot_drive_is_one_line(settings, name: str, args: str, message: str) -> None:
    config = settings(*stranger(name, args))
    with pytest.raises(UsageError, match=message) as caught:
        train.run(config, [])
    assert "\n" not in str(caught.value)
    assert not folder(config).exists()


@pytest.mark.parametrize(("name", "message"), [("Leaves", "SystemExit: 0"), ("Idle", "never called its closure")])
def test_what_does_not_train_is_a_failure(settings, name: str, message: str) -> None:
    config = settings(*stranger(name))
    assert train.run(config, []) == 70
    assert read_result(folder(config)) is None
    assert message in status(folder(config)).message


def test_two_sets_of_weights_are_swapped_and_looking_changes_neither(make) -> None:
    words = (*stranger("Averaged"), "budget.steps=4", "keep=all")  # two epochs
    plain = make(*words, "evaluate.every_epochs=9")
    looked = make(*words, "checkpoint.every_steps=1", stops=(1, 2, 3))
    assert looked["weights_sha256"] == plain["weights_sha256"]
    assert looked["metrics"] == plain["metrics"]
    assert plain["weights_sha256"] != make(*stranger("Number"), "budget.steps=4")["weights_sha256"]


def test_weights_and_scores_that_are_not_finite_have_diverged(settings) -> None:
    config = settings("optimizer=sgd", "optimizer.lr=1e30", "budget=steps", "budget.steps=1")
    assert train.run(config, []) == 0
    result = read_result(folder(config))
    assert (result["state"], result["metrics"]) == ("diverged", {})


def test_a_budget_that_no_epoch_fits_has_no_result(settings, capsys) -> None:
    config = settings("optimizer=sgd", "budget=seconds", "budget.seconds=1e-9", "batch_size=720")
    assert train.run(config, []) == 70
    assert "no epoch that can be selected ended within the budget of 1e-09 s" in status(folder(config)).message
    assert read_result(folder(config)) is None


def test_batch_norm_of_a_single_image_is_one_line(settings) -> None:
    def build(*words: str) -> train.Trainer:
        return train.Trainer(settings("model=resnet18", *words), World(), pick_device("cpu"))

    for words in (("batch_size=4",), ("batch_size=8", "accumulation=8")):  # 1,437 images: the last batch has one, five
        with pytest.raises(ValueError, match="batch_size: the last batch of an epoch leaves a single sample to a step"):
            build(*words)
    build("batch_size=4", "budget=steps", "budget.steps=9")  # never comes to the last batch


class Pair(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        return x, 1


def test_a_rehearsal_leaves_no_trace() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3), torch.nn.BatchNorm1d(3))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    blank = torch.zeros(2, 3, 2, 2)
    rehearse(net, blank, smallest=2)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    with pytest.raises(ValueError, match="a single sample"):
        rehearse(net, blank, smallest=1)
    rehearse(net[:2], blank, smallest=1)
    with pytest.raises(ValueError, match="model: cannot take samples of 1 x 2 x 2: "):
        rehearse(net, blank[:, :1], smallest=2)
    for odd, said in ((net, "answers 2 samples with 2 x 3, where"), (Pair(), "with a tuple, where this task needs a")):
        with pytest.raises(ValueError, match=said):
            rehearse(odd, blank, smallest=2, width=Multiclass(7).width)
    rehearse(net, None, smallest=1)  # a task without an example
