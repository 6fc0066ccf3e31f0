"""A run is compared with itself: a forged, moved or mixed-up one is never sound; what a death left is cleared away."""

import json
import os
import shutil
import time

import pytest
import torch

from record.claim import Claim
from record.identity import run_id, semantic
from record.read import read_store, status
from record.run import Run
from record.supervise import skip_if_finished
from sweep.verify import verify
from tests.record.conftest import make_config


def made(store, **root):
    """Make a run of two epochs, with a checkpoint after each; return its folder."""
    with Run(store, make_config(**root), facts={"device": "cpu", "threads": 1}) as run:
        for epoch in (1, 2):
            row = {"kind": "epoch", "epoch": epoch, "step": epoch, "seconds": 1.5 * epoch, "test_top1": 90.0 + epoch}
            run.metrics.append(row)
            run.save_checkpoint({"step": epoch}, epoch)
        selected = {"epoch": 2, "step": 2, "seconds": 3.0}
        run.finish({"state": "done", "metrics": {"test_top1": 92.0}, "selected": selected}, {"w": torch.ones(1)})
    return run.folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    store = tmp_path_factory.mktemp("sound")
    made(store)
    assert verify(store) == (1, [])
    return store


@pytest.fixture
def folder(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "runs")
    (found,) = (tmp_path / "runs").glob("*/*/*/*")
    return found


def edit(where, name="result.json", **change):
    path = where / name
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def another_config(folder):
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("batch_size: 128", "batch_size: 64"))


def another_seed(folder):
    """The group is right, the folder is not."""
    config = semantic(make_config(seed=1))
    edit(folder, config=config, id=run_id(config))


FORGED = {
    "of its group": lambda folder: edit(folder, group_id="0" * 12),
    "not the one of its id": lambda folder: edit(folder, config=semantic(make_config(seed=1))),
    "is a result of digits/resnet18/sgd/s1-": another_seed,
    "place in a store": lambda folder: folder.parent.rename(folder.parent.with_name("adam")),
    "the result's labels": lambda folder: edit(folder, labels={"scale": "cpu", "protocol": "none", "notes": {}}),
    "test_top1 is '99'; allowed: a": lambda folder: edit(folder, metrics={"test_top1": "99"}),
    "test_top1 is True; allowed: a": lambda folder: edit(folder, metrics={"test_top1": True}),
    "the result's metrics": lambda folder: edit(folder, metrics={"test_top1": 99.0}),
    "metrics are not": lambda folder: edit(folder, metrics={"test_top1": 92.0, "test_top5": 99.0}),
    "selected epoch": lambda folder: edit(folder, selected={"epoch": 2, "step": 2, "seconds": 0.5}),
    "row in metrics.jsonl": lambda folder: edit(folder, selected={"epoch": 1, "step": 1, "seconds": 1.5}),
    "another configuration": another_config,
    "platform": lambda folder: edit(folder, platform={"device": "cuda", "torch": "9", "threads": 1}),
    "weights.pt is not": lambda folder: edit(folder, weights_sha256="0" * 64),
}


@pytest.mark.parametrize("words", FORGED)
def test_a_forged_or_moved_result_is_not_sound(folder, tmp_path, words):
    FORGED[words](folder)
    sound, lines = verify(tmp_path / "runs")
    assert sound == 0
    assert len(lines) == 1
    assert words in lines[0]


def test_names_that_a_result_adds_override_nothing(folder, tmp_path):
    edit(folder, seed=7, folder="elsewhere", optimizer="sing")
    (row,), _ = read_store(tmp_path / "runs")
    assert (row["seed"], row["folder"], row["optimizer"]) == (0, str(folder), "sgd")


def test_a_config_that_unfolds_without_end_is_one_line(folder, tmp_path):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)]
    (folder / "config.yaml").write_text("\n".join(lines))
    (line,) = verify(tmp_path / "runs")[1]
    assert "too many entries" in line


def died(folder, age=1000.0):
    """Leave a finished run as a death between its result and its clean-up does."""
    edit(folder, "status.json", state="running")
    Claim(folder).release()
    (folder / "checkpoint-000000002-0123456789abcdef.pt").write_text("old")
    temporary = folder / ".status.json.0123abcd.tmp"
    temporary.write_text("{")
    os.utime(temporary, (time.time() - age,) * 2)
    return temporary


@pytest.mark.parametrize("command", ["verify", "train"])
def test_the_next_command_clears_what_a_death_after_the_result_left(folder, tmp_path, command, capsys):
    expected = {path.name for path in folder.iterdir()}
    died(folder)
    if command == "train":
        assert skip_if_finished(make_config(paths={"store": str(tmp_path / "runs")}))
        assert {path.name for path in folder.iterdir()} == expected
    assert verify(tmp_path / "runs") == (1, [])
    assert {path.name for path in folder.iterdir()} == expected
    assert status(folder).state == "done"


def test_what_may_be_somebodys_is_named_and_left(folder, tmp_path):
    young = died(folder, age=0.0)
    mine = folder / "checkpoint-mine.pt"
    mine.write_text("mine")
    lines = verify(tmp_path / "runs")[1]
    assert sorted(line.split(": ")[1] for line in lines) == [f"{young.name} is left over", f"{mine.name} is left over"]
    assert young.exists()
    assert mine.exists()


def test_a_run_that_keeps_all_keeps_its_checkpoints(tmp_path):
    folder = made(tmp_path, keep="all")
    assert verify(tmp_path) == (1, [])
    checkpoints = list(folder.glob("checkpoint-*"))
    assert len(checkpoints) == 2
    checkpoints[0].write_bytes(checkpoints[0].read_bytes()[:-1])
    assert verify(tmp_path) == (0, [f"{folder}: {checkpoints[0].name} is damaged"])
