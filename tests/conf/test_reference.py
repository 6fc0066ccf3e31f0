"""The reference of a wall-clock budget: the tuned reference on a run's data and net, and one for all runs."""

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from conf import groups
from conf.compose import compose
from conf.reference import EPOCHS, configuration, words
from record.identity import group_id, run_id, semantic
from reports.runs import Runs, identify

COMMON = ["protocol=rmsgd_cifar_wallclock", "tuned=rmsgd", "data=cifar10", "model=resnet18"]


def of(*own: str) -> dict:
    asking = [*COMMON, *own]
    return configuration(compose(words(asking, "sgd")), compose(asking), "there")


def test_a_reference_is_tuned_and_short_and_looks_at_nothing() -> None:
    found, asking = of("optimizer=adamp", "seed=3", "probe=norms"), compose([*COMMON, "optimizer=sgd"])
    assert found["optimizer"] == asking["optimizer"]
    assert found["optimizer"]["momentum"] == 0.9
    assert found["optimizer"]["weight_decay"] > 0
    assert found["budget"] == {"name": "epochs", "target": "training.budget.Epochs", "version": 1, "epochs": EPOCHS}
    assert (found["probe"], found["seed"], found["paths"]["store"]) == ({}, 0, "there")
    for key in ("data", "model", "batch_size", "precision", "mix", "device"):
        assert found[key] == asking[key]


def test_rivals_share_a_reference_that_another_batch_does_not() -> None:
    ids = [
        run_id(semantic(of(*own)))
        for own in (
            ("optimizer=adamp", "schedule=cosine", "seed=1"),
            ("optimizer=rmsgd", "optimizer.lr=0.5", "target.metric=top1", "evaluate.every_epochs=7"),
            ("optimizer=adamp", "batch_size=64"),
        )
    ]
    assert ids[0] == ids[1] != ids[2]


@pytest.fixture
def plugin(monkeypatch):
    cached = (groups.plugins, groups.options, groups.raw)
    entry = EntryPoint("their_sgd", "torch.optim:SGD", "stepbench.optimizers")
    monkeypatch.setattr(groups, "entry_points", lambda group: [entry])
    for function in cached:
        function.cache_clear()
    yield
    monkeypatch.undo()
    for function in cached:
        function.cache_clear()


def test_an_installed_plug_in_can_be_the_reference(plugin) -> None:
    asking = ["data=digits", "budget=wallclock_of", "budget.reference=their_sgd", "optimizer=sing"]
    found = configuration(compose(words(asking, "their_sgd")), compose(asking), "there")
    assert (found["optimizer"]["name"], found["optimizer"]["target"]) == ("their_sgd", "torch.optim.SGD")


def test_the_runs_of_an_installed_plug_in_are_found_by_reports(plugin) -> None:
    overrides = ("data=digits", "model=resnet20", "optimizer=their_sgd")
    row = dict(word.split("=") for word in overrides) | {"group_id": "g", "seed": 0}
    ids, reasons = identify(Runs([row]))([SimpleNamespace(overrides=overrides)])
    assert (ids, reasons) == ({overrides: group_id(semantic(compose(list(overrides))))}, {})
