"""A store may lie below any path: what is run there, tuned, made again, merged and verified is found again."""

import shutil
from pathlib import Path

import pytest

from conf.tuned import lookup
from record.read import read_store
from sweep.__main__ import main

NAMES = (
    "a=b",
    "x,y",
    "(1)",
    "[x]",
    "{a: b}",
    "o'neil",
    'say "x"',
    "a&b",
    "a#1",
    "~me",
    "!;^<>",
    "my drive",
    "müller 😀",
)
HARD = (
    "${seed}",
    "${oc.env:HOME}",
    r"\${seed}",
    "back\\slash",
    "new\nline",
    "null",
    "glob(*)",
    " lead",
    "a: b",
    "end\\",
)
GRIDS = "grids: {sgd: {optimizer.lr: [1e-3, 1e-2]}}"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = Path(tmp_path, *NAMES, *HARD, "trail ")
    folder.mkdir(parents=True)
    return folder


def test_a_store_may_lie_anywhere(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep, grids, store = place / "small.yaml", place / "grids.yaml", place / "store"
    sweep.write_text("grid: [{optimizer: sgd, model: resnet18}]")
    grids.write_text(GRIDS)
    assert main(["run", str(sweep), "--store", str(store)]) == 0
    assert main(["status", str(sweep), "--store", str(store)]) == 0
    assert main(["plan", str(sweep), "--store", str(store)]) == 0
    tuned = place / "tuned.yaml"
    tune = ["tune", str(sweep), "--grids", str(grids), "--out", str(tuned), "--metric", "test_top1"]
    assert main([*tune, "--store", str(store)]) == 0
    assert lookup(str(tuned), "digits", "resnet18", "sgd").values["optimizer.lr"] in (1e-3, 1e-2)
    ids = [row["id"] for row in read_store(store)[0]]
    assert len(ids) == 3
    assert main(["rerun", ids[0], "--store", str(store)]) == 0
    assert main(["merge", str(store), str(place / "other")]) == 0
    assert main(["verify", str(place / "other")]) == 0
    assert len(read_store(place / "other")[0]) == 3


def test_a_tilde_is_the_users_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STEPBENCH_STORE", "~/runs")
    (tmp_path / "one.yaml").write_text("grid: [{optimizer: sgd, model: resnet18}]")
    assert main(["run", str(tmp_path / "one.yaml")]) == 0
    assert len(read_store(tmp_path / "runs")[0]) == 1


def test_a_relative_path_is_meant_as_where_the_sweep_was_started(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("entries: [{optimizer: sgd, set: {optimizer.lr: 0.125}, from: a search}]")
    (tmp_path / "t.yaml").write_text("grid: [{optimizer: sgd, model: resnet20}]\ntuned: mine.yaml")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "t.yaml", "--store", "runs"]) == 0
    assert [row["config.optimizer.lr"] for row in read_store(Path("runs"))[0]] == [0.125]


def test_the_store_to_verify_may_be_named_either_way(tmp_path, capsys):
    for words in ([str(tmp_path)], ["--store", str(tmp_path)]):
        assert main(["verify", *words]) == 0
        assert "0 runs are sound" in capsys.readouterr().out


def test_a_damaged_result_is_counted_as_failed_where_a_rerun_is_asked_for(complete, table, tmp_path, capsys):
    shutil.copytree(complete, tmp_path / "runs")
    next((tmp_path / "runs").rglob("result.json")).write_text("{")
    assert main(["run", str(table), "rerun=true", "--limit", "0", "--store", str(tmp_path / "runs")]) == 4
    assert "11 done, 1 failed" in capsys.readouterr().out
