"""`train.py --help` and the reference pages: every key has a meaning."""

import pytest

from conf import describe, groups, yamls
from conf.compose import compose
from conf.errors import UsageError
from conf.multirun import private

OPTIONS = [(group, option) for group in groups.CHECKED for option in groups.files(group)]


def test_every_key_of_the_root_has_a_meaning() -> None:
    assert not [key for key, _, _, meaning in describe.root_rows() if not meaning]


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=["=".join(pair) for pair in OPTIONS])
def test_every_key_of_an_option_has_a_meaning(group: str, option: str) -> None:
    assert not [key for key, _, _, meaning in describe.option_rows(group, option) if not meaning]


def test_no_meaning_is_without_a_key() -> None:
    meanings = yamls.load(groups.ROOT / "meanings.yaml")
    assert meanings.keys() == {"root", *groups.CHECKED}
    assert meanings["root"].keys() <= {key for key, *_ in describe.root_rows()}
    for group in groups.CHECKED:
        known = set()
        for option in groups.files(group):
            keys = [row[0].removeprefix(f"{group}.") for row in describe.option_rows(group, option)]
            known |= {name for key in keys for name in (f"{option}.{key}", key, key.rpartition(".")[2])}
        assert meanings[group].keys() <= known


def test_help_shows_an_options_own_keys() -> None:
    text = describe.help_text(["optimizer=sing", "data=rde"])
    assert "optimizer.lr = 0.005  ([0, inf))\n      learning rate" in text
    assert "optimizer.base = adam  (adabelief, adabound, adafactor, " in text
    assert "data.variant = contact" in text
    assert "budget.epochs" not in text


def test_help_shows_the_roots_keys() -> None:
    assert "  mode = fast  (fast, reference)\n      " in describe.help_text()


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("lr=0.1", "optimizer.lr"),
        ("epochs=3", "budget.epochs"),
        ("momentum=0.9", "optimizer.momentum"),
        ("wieght_decay=0", "optimizer.weight_decay"),
        ("every_epochs=2", "evaluate.every_epochs"),
        ("modle=resnet18", "mode"),
    ],
)
def test_the_last_part_of_a_key_is_answered_with_the_key(word: str, key: str) -> None:
    with pytest.raises(UsageError, match=rf"^command line: unknown '{word.partition('=')[0]}'.*; nearest: {key}$"):
        compose([word])


def test_hydras_private_parts_are_where_they_were() -> None:
    """A newer Hydra may move them: conf/multirun.py's `private` is the one place to follow it."""
    hydra, callbacks, parser = private()
    assert all(hasattr(hydra, name) for name in ("compose_config", "hydra_help", "show_info", "shell_completion"))
    assert {"cifar10", "digits"} <= set(hydra.config_loader.get_group_options("data"))
    assert hasattr(callbacks, "on_job_start")
    assert parser.parse_args([]).multirun is False
