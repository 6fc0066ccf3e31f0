import itertools
import json
import os
import platform
import shutil
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from record.merge import PUBLIC, merge
from record.read import read_store
from record.run import Run
from sweep.verify import verify
from tests.record.conftest import make_config
from tests.record.test_read import edit
from tests.record.test_run import finish


def contents(store):
    return {str(path.relative_to(store)): path.read_bytes() for path in Path(store).rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    """Three stores for each of two seeds: one result each, two of equal platform, all of different bits."""
    stores = []
    for seed, (number, top1) in itertools.product(range(2), enumerate((90.0, 91.0, 92.0))):
        store = tmp_path_factory.mktemp(f"v{seed}{number}")
        finish(store, make_config(seed=seed), top1=top1, **({"device": "cuda"} if number == 2 else {}))
        stores.append(store)
    return stores


stores = st.lists(st.sets(st.integers(0, 5), max_size=4), min_size=2, max_size=3)


def build(tmp, variants, picks):
    """Make one store for each set of variants."""
    made = []
    for number, pick in enumerate(picks):
        store = tmp / f"store{number}"
        store.mkdir()
        merge([variants[k] for k in sorted(pick)], store)
        made.append(store)
    return made


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(picks=stores)
def test_laws(variants, tmp_path_factory, picks):
    tmp = tmp_path_factory.mktemp("laws")
    made = build(tmp, variants, picks)
    merge(made, tmp / "forward")
    merge(made[::-1], tmp / "backward")
    merge(made[1:], tmp / "right")
    merge([made[0], tmp / "right"], tmp / "grouped")
    merge([tmp / "forward", *made], tmp / "forward")
    expected = contents(tmp / "forward")
    assert contents(tmp / "backward") == expected
    assert contents(tmp / "grouped") == expected
    shutil.rmtree(tmp)


def test_conflicts_say_alarm_or_other_platform(variants, tmp_path):
    found, left_out = merge(variants[:3], tmp_path)
    assert left_out == []
    assert len(list(tmp_path.rglob("result.*.json"))) == 2
    standing = read_store(tmp_path)[0][0]
    expected = ["alarm", "other platform"] if standing["platform.device"] == "cpu" else ["other platform"] * 2
    assert sorted(conflict.kind for conflict in found) == expected


def test_equal_bits_are_no_conflict(tmp_path):
    for name in ("a", "b"):
        finish(tmp_path / name, make_config())
    assert merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c") == ([], [])


def test_unequal_metrics_of_equal_weights_are_an_alarm(tmp_path):
    finish(tmp_path / "a", make_config())
    _, folder = finish(tmp_path / "b", make_config())
    edit(folder, metrics={"test_top1": 99.0})
    (conflict,), _ = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    assert conflict.kind == "alarm"


def test_unfinished_and_damaged_runs_stay_where_they_are(tmp_path):
    with Run(tmp_path / "a", make_config()) as run:
        run.stop()
    finish(tmp_path / "a", make_config(seed=1))
    _, folder = finish(tmp_path / "a", make_config(seed=2))
    (folder / "result.json").write_text("{")
    _, left_out = merge([tmp_path / "a"], tmp_path / "b")
    assert len(left_out) == 2
    assert [row["seed"] for row in read_store(tmp_path / "b")[0]] == [1]


def test_a_run_that_is_running_in_the_destination_is_left_alone(tmp_path):
    finish(tmp_path / "a", make_config())
    with Run(tmp_path / "b", make_config()) as run:
        _, left_out = merge([tmp_path / "a"], tmp_path / "b")
        assert len(left_out) == 1
        assert "running" in left_out[0]
        run.stop()
    merge([tmp_path / "a"], tmp_path / "b")
    assert len(read_store(tmp_path / "b")[0]) == 1


def test_a_killed_merge_is_completed_by_the_next(variants, tmp_path, monkeypatch):
    merge(variants[:3], tmp_path / "whole")
    calls = itertools.count()
    module = sys.modules["record.merge"]  # the package's own name `merge` is the function
    genuine = module.write_atomic

    def dying(path, content):
        if next(calls) == limit:
            raise KeyboardInterrupt
        genuine(path, content)

    for limit in (0, 1, 3):  # four writes at least, more where the first is not the smallest
        calls = itertools.count()
        target = tmp_path / f"killed{limit}"
        monkeypatch.setattr(module, "write_atomic", dying)
        with pytest.raises(KeyboardInterrupt):
            merge(variants[:3], target)
        monkeypatch.setattr(module, "write_atomic", genuine)
        for path in target.rglob("result.json"):
            json.loads(path.read_text())
        merge(variants[:3], target)
        assert contents(target) == contents(tmp_path / "whole")


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no store at"):
        merge([tmp_path / "nowhere"], tmp_path / "b")


def planted(folder, secret):
    """Put into a finished run's folder what is no part of it."""
    (folder / "evil.py").write_text("raise SystemExit")
    (folder / "log.txt").symlink_to(secret)
    (folder / "tensorboard").mkdir()
    os.mkfifo(folder / "checkpoint-000000001-0123456789abcdef.pt")
    (folder / "result.0123456789ab.json").write_text('{"state": "done"}')


def test_only_the_files_of_a_run_travel_and_the_rest_is_named(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("private")
    _, folder = finish(tmp_path / "a", make_config())
    names = {path.name for path in folder.iterdir()}
    planted(folder, secret)
    _, left_out = merge([tmp_path / "a"], tmp_path / "b")
    assert {path.name for path in (tmp_path / "b" / folder.relative_to(tmp_path / "a")).iterdir()} == names
    assert len(left_out) == 1
    for words in ("evil.py", "log.txt (a symbolic link", "tensorboard (a folder", ".pt (a pipe"):
        assert words in left_out[0]


def test_no_link_is_followed_to_a_run(tmp_path):
    finish(tmp_path / "a", make_config())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "digits").symlink_to(tmp_path / "a" / "digits")
    _, left_out = merge([tmp_path / "b"], tmp_path / "c")
    assert len(left_out) == 1
    assert "lies behind a symbolic link" in left_out[0]
    assert read_store(tmp_path / "c") == ([], [])


SECRETS = ("/home/somebody", "token of mine", platform.node())


def private_store(store):
    """Make runs whose configuration and environment say where, and by whom, they were made; return their ids."""
    config = make_config(
        tuned="/home/somebody/my values.yaml",
        notes={"where": "token of mine", "other": "see /home/somebody/notes.txt"},
        paths={"store": "/home/somebody/runs"},
        logger={"wandb": {"project": "token of mine"}},
        keep="all",
    )
    words = ["tuned=/home/somebody/my values.yaml", "notes.where=${oc.env:TOKEN}", "paths.store=/home/somebody"]
    with Run(store, config, overrides=words, facts={"device": "cpu", "threads": 1}) as run:
        run.metrics.append({"kind": "epoch", "epoch": 1, "test_top1": 90.0})
        run.log("File /home/somebody/train.py")
        run.save_checkpoint({"step": 1}, 1)
        run.finish({"state": "done", "metrics": {"test_top1": 90.0}}, {"w": torch.ones(1)})
    return run.id


def test_a_public_store_says_nothing_of_its_maker_and_is_sound(tmp_path):
    run_id = private_store(tmp_path / "a")
    conflicts, left_out = merge([tmp_path / "a"], tmp_path / "b", PUBLIC)
    assert (conflicts, [line.partition(": ")[2] for line in left_out]) == ([], ["not copied: log.txt"])
    for name, content in contents(tmp_path / "b").items():
        for secret in SECRETS:
            assert secret.encode() not in content, (name, secret)
    (row,), complaints = read_store(tmp_path / "b")
    assert (row["id"], row["labels.tuned"], row["labels.notes.other"], complaints) == (
        run_id,
        "my values.yaml",
        "see notes.txt",
        [],
    )
    assert verify(tmp_path / "b") == (1, [])
    before = contents(tmp_path / "b")
    merge([tmp_path / "a"], tmp_path / "b", PUBLIC)
    merge([tmp_path / "b"], tmp_path / "c", PUBLIC)
    assert contents(tmp_path / "b") == before == contents(tmp_path / "c")


@pytest.mark.parametrize(
    ("value", "words", "reason"),
    [
        ("/home/somebody/net.pt", [], "its identity holds an absolute path"),
        ("token of mine", ["model.file=${oc.env:TOKEN}"], "its identity holds model.file, a text from the environment"),
    ],
)
def test_a_run_whose_identity_is_private_stays_behind(tmp_path, value, words, reason):
    config = make_config()
    config["model"]["file"] = value
    with Run(tmp_path / "a", config, overrides=words) as run:
        run.finish({"state": "done", "metrics": {}})
    _, left_out = merge([tmp_path / "a"], tmp_path / "b", PUBLIC)
    assert [line.partition(": ")[2] for line in left_out] == [reason]
    assert read_store(tmp_path / "b") == ([], [])
