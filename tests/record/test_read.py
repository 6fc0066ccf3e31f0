import json
import shutil

import pytest

from record.identity import group_id, run_id
from record.read import read_result, read_store, status
from record.run import Run
from tests.record.conftest import make_config
from tests.record.test_run import finish


@pytest.fixture
def store(tmp_path):
    for seed in range(3):
        finish(tmp_path, make_config(seed=seed))
    return tmp_path


def folders(store):
    return sorted(store.glob("*/*/*/*"))


def edit(folder, **change):
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def damage_torn(folder):
    path = folder / "result.json"
    path.write_bytes(path.read_bytes()[:-20])


DAMAGES = {
    "cannot be read": damage_torn,
    "schema 99": lambda folder: edit(folder, schema=99),
    "not the one of its id": lambda folder: edit(folder, config=make_config(seed=5)),
    "has no 'data'": lambda folder: edit(folder, config={"seed": 5}),
    "not its folder's": lambda folder: folder.rename(folder.with_name("s0-aaaaaaaaaaaa")),
    "a dot in the name 'metrics.test_top1'": lambda folder: edit(folder, **{"metrics.test_top1": "x"}),
    "a dot in the name 'epoch_seconds.median'": lambda folder: edit(folder, time={"epoch_seconds.median": "x"}),
    "half copied": lambda folder: (folder / "metrics.jsonl").unlink(),
    "not a run": lambda folder: [path.unlink() for path in folder.iterdir()],
}


@pytest.mark.parametrize("words", DAMAGES)
def test_a_damaged_run_is_skipped_with_one_line(store, words):
    DAMAGES[words](folders(store)[1])
    rows, complaints = read_store(store)
    assert len(rows) == 2
    assert len(complaints) == 1
    assert words in complaints[0]
    assert "\n" not in complaints[0]


@pytest.mark.parametrize("task", ["x", {"name": "x"}, {"version": 1}, ["name", "version"]])
def test_a_task_of_any_form_is_no_traceback(store, task):
    """The folder's name is the hash of that configuration: a stranger can make it so."""
    folder = folders(store)[0]
    stored = json.loads((folder / "result.json").read_text())
    config = stored["config"] | {"task": task}
    edit(folder, config=config, id=run_id(config), group_id=group_id(config))
    folder.rename(folder.with_name(f"s0-{run_id(config)}"))
    assert len(read_store(store)[0]) == 3


def test_half_a_surrogate_pair_can_be_written_on(store):
    edit(folders(store)[0], machine={"cpu": "\ud800"})
    rows, complaints = read_store(store)
    assert complaints == []
    assert rows[0]["machine.cpu"] == "\\ud800"


def judged(store):
    """Make a run whose metrics are those of a row, behind more rows than a reader of a store looks at."""
    with Run(store, make_config(seed=9)) as run:
        run.metrics.append({"kind": "epoch", "epoch": 1, "step": 4, "seconds": 1.0, "test_top1": 80.0})
        for step in range(2000):
            run.metrics.append({"kind": "probe", "step": step, "norm": 1.0, "name": "a layer"})
        run.metrics.append({"kind": "epoch", "epoch": 2, "step": 8, "seconds": 2.0, "test_top1": 90.0})
        selected = {"epoch": 2, "step": 8, "seconds": 2.0}
        run.finish({"state": "done", "metrics": {"test_top1": 90.0}, "selected": selected})
    return run.folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"metrics": {"test_top1": 99.0}}, "metrics are not those"),
        ({"metrics": {"test_top1": 90.0, "test_top5": 99.0}}, "metrics are not those"),
        ({"selected": {"epoch": 2, "step": 8, "seconds": 1.0}}, "selected epoch is not the one"),
    ],
)
def test_an_edited_result_is_not_sound(tmp_path, change, words):
    edit(judged(tmp_path), **change)
    rows, complaints = read_store(tmp_path)
    assert [words in line for line in complaints] == ([True] if words else [])
    assert len(rows) == (not words)


def test_a_half_written_run_is_never_finished(store):
    folder = folders(store)[0]
    content = (folder / "result.json").read_bytes()
    (folder / "result.json").rename(folder / ".result.json.12.tmp")
    assert read_result(folder) is None
    assert status(folder).state == "stopped"
    for length in range(0, len(content), 97):
        (folder / "result.json").write_bytes(content[:length])
        assert not status(folder).finished


def test_a_missing_store_is_empty(tmp_path):
    assert read_store(tmp_path / "nowhere") == ([], [])


def test_stray_files_are_no_runs(store):
    (store / "notes.txt").write_text("mine")
    shutil.copytree(folders(store)[0], store / ".hidden" / "a" / "b" / "c")
    assert len(read_store(store)[0]) == 3
