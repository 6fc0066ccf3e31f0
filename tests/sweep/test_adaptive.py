"""Optuna's trials: as many for each optimizer, the same at each call, pruned ones in the store."""

import shutil

import pytest

from conf import yamls
from conf.errors import UsageError
from record.read import read_store, status
from sweep import adaptive
from sweep.__main__ import main
from sweep.tune import tuning
from sweep.wanted import wanted
from tests.sweep.test_run import executions

pytest.importorskip("optuna")
pytestmark = pytest.mark.extras
GRIDS = """
grids:
  sgd: {search: {n: 4, space: {optimizer.lr: {log: [1.0e-3, 1.0]}, optimizer.momentum: {choice: [0.0, 0.9]}}}}
  adamw: {search: {n: 4, space: {optimizer.lr: {log: [1.0e-4, 1.0e-2]}}}}
"""


@pytest.fixture
def ask(tmp_path):
    (tmp_path / "grids.yaml").write_text(GRIDS)
    words = ["tune", "digits_demo", "--grids", str(tmp_path / "grids.yaml"), "--out", str(tmp_path / "o.yaml")]
    fixed = ["--only", "sgd,adamw", "--metric", "test_top1", "--search", "optuna", "--jobs", "2"]
    return lambda store, *more: main([*words, *fixed, "--store", str(store), *more])


def test_each_optimizer_has_as_many_trials_and_the_best_wins(ask, tmp_path):
    store = tmp_path / "a" / "runs"
    assert ask(store) == 0
    content = yamls.load(tmp_path / "o.yaml")
    assert ["of 4 trials" in entry["from"] for entry in content["entries"]] == [True, True]
    rows = [row for row in read_store(store)[0] if row["optimizer"] == "sgd"]
    best = max(rows, key=lambda row: row["metrics.test_top1"])
    (entry,) = (entry for entry in content["entries"] if entry["optimizer"] == "sgd")
    assert entry["set"]["optimizer.lr"] == best["config.optimizer.lr"]


def test_a_round_that_is_not_made_whole_ends_the_command(ask, tmp_path):
    """The next trial would take the missing one for a failed one, and be another at each call."""
    assert ask(tmp_path / "a" / "runs", "--limit", "1") == 3
    assert len(executions(tmp_path / "a" / "runs")) == 1
    assert not (tmp_path / "o.yaml").exists()


def test_the_same_command_goes_on_from_the_store_alone(ask, tmp_path):
    assert ask(tmp_path / "a" / "runs") == 0
    whole = executions(tmp_path / "a" / "runs")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first, *rest = (tmp_path / "b" / "runs").rglob("result.json")
    shutil.rmtree(first.parent)
    (tmp_path / "b" / "executed.txt").unlink()
    assert ask(tmp_path / "b" / "runs") == 0
    assert len(executions(tmp_path / "b" / "runs")) == 1
    assert len(whole) == len(rest) + 1 == 8
    assert ask(tmp_path / "c" / "runs", "--jobs", "1") == 0
    assert executions(tmp_path / "c" / "runs") == whole  # whatever is done at once


def test_a_bad_trial_is_pruned_and_stays(ask, tmp_path, monkeypatch):
    """The fake's epochs score the same in each run: all that is worse than the best third at a rung is ended."""
    monkeypatch.setenv("STEPBENCH_FAKE_SECONDS", "0.4")
    store, words = tmp_path / "runs", ("--pruner", "hyperband", "--trials", "6", "--only", "sgd", "--seeds", "3")
    assert ask(store, *words) == 0
    states = [status(path.parent).state for path in store.rglob("status.json")]
    assert len(states) == 6
    assert {"done", "stopped"} == set(states)
    before = executions(store)
    assert ask(store, *words) == 0  # a pruned trial is not made again
    assert executions(store) == before
    assert "of 6 trials" in yamls.load(tmp_path / "o.yaml")["entries"][0]["from"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", "0", "1"), "--seeds: --search optuna makes each trial with one seed"),
        (
            ("--pruner", "hyperband", "--scale", "smoke", "--only", "sgd"),
            "--pruner hyperband: counts epochs; budget=steps has none",
        ),
        (("--only", "sing"), "unknown 'sing'"),
    ],
)
def test_mistakes_are_one_line(ask, tmp_path, words, said):
    with pytest.raises(UsageError, match=said):
        ask(tmp_path / "runs", *words)
    assert not (tmp_path / "runs").exists()


def test_the_first_points_do_not_hang_on_the_cell(tmp_path):
    """What an optimizer is asked first is drawn by the seed: no cell is luckier than another."""
    (tmp_path / "grids.yaml").write_text(GRIDS)
    asked = tuning(wanted("digits_demo"), str(tmp_path / "grids.yaml"), 0.1, [0], ["adamw"], "test_top1")
    one, two = (adaptive.Study(asked.cells[0], asked, "none", draw) for draw in (0, 0))
    assert one.ask().id == two.ask().id
    assert one.ask().id != adaptive.Study(asked.cells[0], asked, "none", 1).ask().id
