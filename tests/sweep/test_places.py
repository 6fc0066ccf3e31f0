"""A store may lie below any path: what is run there, tuned, made again, merged and verified is found again."""

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
