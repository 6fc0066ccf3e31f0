"""The optimizers by name, in the clone; what a wheel holds and does: test_wheel.py."""

from pathlib import Path

import pytest
import torch
from torch import nn

import optim
from conf import groups
from optim import library
from tests.optim import checks

NAMES = optim.list_optimizers()


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def test_names_are_those_of_the_configurations():
    assert set(NAMES) == set(groups.files("optimizer")) - {"custom"}
    assert optim.list_optimizers("Adam?") == ["adamg", "adamp", "adams", "adamw"]


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_is_created_and_described(name):
    made = optim.create_optimizer(name, net().parameters(), lr=0.25)
    assert made.param_groups[0]["lr"] == 0.25
    told = optim.describe(name)
    assert told["summary"]
    assert told["source"]
    assert told["meanings"].keys() <= told["defaults"].keys()
    assert told["defaults"]["lr"] == groups.raw("optimizer", name)["lr"]
    decay = made.param_groups[0].get("decay", told["decay"])
    assert decay == told["decay"]


def test_a_name_may_be_that_of_the_class():
    for name in ("adamp", "AdamP", "ADAMP"):
        assert type(optim.build(name, net().parameters())) is optim.AdamP
    assert type(optim.create_optimizer("schedule-free-sgd", net().parameters())) is optim.ScheduleFreeSGD
    assert (
        optim.build("sing_lookahead", net().parameters()).defaults["k"] == 5
    )  # the options of a configuration come along
    assert type(optim.build("Adam", net().parameters())) is torch.optim.Adam


def test_a_net_gets_the_groups_of_its_method():
    made = optim.create_optimizer("adamsrt", net(), lr=0.1)
    assert [group["invariance"] for group in made.param_groups] == ["channel", "none"]
    assert made.param_groups[0]["param_names"] == ["0.weight"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: optim.create_optimizer("admp", net()),
            r"optimizer 'admp' does not exist; see list_optimizers\(\); nearest: adamp",
        ),
        (lambda: optim.create_optimizer("adamp", net(), detla=1), r"optim.AdamP takes no 'detla'"),
        (lambda: optim.create_optimizer("adamp", net(), delta=-1), r"optim.AdamP: delta=-1 is not allowed"),
        (lambda: optim.describe("nothing"), r"optimizer 'nothing' does not exist"),
    ],
)
def test_mistakes_are_one_line(call, message):
    with pytest.raises(ValueError, match=f"^{message}[^\\n]*$"):
        call()


def test_tuned_values_come_with_their_source():
    told = optim.describe("rmsgd")["tuned"]
    assert any(entry["paper"] == "rmsgd" and "optimizer.lr" in entry["set"] for entry in told)
    assert library.catalog()["rmsgd"]["tuned"] == told


def test_the_page_says_of_each_method_how_it_is_checked():
    page = (Path(__file__).parents[2] / "docs" / "optimizers.md").read_text()
    assert checks.table() in page, "paste what `python -m tests.optim.checks` prints"
