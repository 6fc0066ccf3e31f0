import collections
import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from record import checkpoint
from record.checkpoint import found, weights_hash
from record.claim import Claimed
from record.identity import run_folder, run_id, semantic
from record.lines import read_lines
from record.read import read_result, read_store, status
from record.run import Run
from tests.record.conftest import make_config

ROOT = Path(__file__).parents[2]
FACTS = {"device": "cpu", "threads": 1}


def finish(store, config, top1=90.0, **more):
    with Run(store, config, facts=FACTS | more) as run:
        run.metrics.append({"epoch": 1, "loss": 0.5})
        weights = {"w": torch.full((2,), top1)}
        result = {"state": "done", "metrics": {"test_top1": top1}, "weights_sha256": weights_hash(weights)}
        return run.finish(result, weights), run.folder


def test_life_of_a_run(tmp_path, config):
    assert status(run_folder(tmp_path, config)).state == "missing"
    result, folder = finish(tmp_path, config)
    assert read_result(folder) == json.loads(json.dumps(result))
    assert status(folder).state == "done"
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.yaml", "environment.json", "status.json", "metrics.jsonl", "result.json", "weights.pt"}
    rows, complaints = read_store(tmp_path)
    assert complaints == []
    assert rows[0]["metrics.test_top1"] == 90.0
    assert rows[0]["config.optimizer.betas"] == [0.9, 0.999]
    assert (rows[0]["data"], rows[0]["optimizer"], rows[0]["seed"]) == ("digits", "sgd", 0)


def test_resume_cuts_the_metrics_to_what_the_checkpoint_knows(tmp_path, config):
    with Run(tmp_path, config) as run:
        assert run.load_checkpoint() is None
        run.metrics.append({"step": 1})
        assert run.save_checkpoint({"w": torch.ones(3), "step": 1}, 1)
        run.metrics.append({"step": 2})
        run.stop()
    assert status(run.folder).state == "stopped"
    with Run(tmp_path, config) as run:
        state = run.load_checkpoint()
        assert state["step"] == 1
        assert torch.equal(state["w"], torch.ones(3))
        run.metrics.append({"step": 2})
        run.finish({"state": "diverged", "metrics": {}})
    assert read_lines(run.folder / "metrics.jsonl") == ([{"step": 1}, {"step": 2}], 0)
    assert status(run.folder) == status(run.folder).__class__("diverged", attempt=2)


def test_without_a_checkpoint_the_metrics_start_afresh(tmp_path, config):
    with Run(tmp_path, config) as run:
        run.metrics.append({"step": 1})
        run.stop()
    with Run(tmp_path, config) as run:
        assert run.load_checkpoint() is None
        assert run.metrics.length == 0


def interrupted(store, config, rows=2):
    """Leave a run with so many rows and a checkpoint after each; return its folder's files by name."""
    with Run(store, config) as run:
        for step in range(1, rows + 1):
            run.metrics.append({"step": step})
            run.save_checkpoint({"step": step}, step)
        run.stop()
    return run.folder


def files(folder):
    kept = ("checkpoint-", "metrics.jsonl")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith(kept)}


def refused(store, config, match):
    """Open a run whose checkpoint cannot be read, and see one line and nothing changed."""
    folder = run_folder(store, config)
    before = files(folder)
    with Run(store, config) as run, pytest.raises((ValueError, OSError), match=match) as caught:
        run.load_checkpoint()
    assert "\n" not in str(caught.value)
    assert files(folder) == before


def test_a_whole_checkpoint_that_cannot_be_read_is_no_damage(tmp_path, config, monkeypatch):
    monkeypatch.setattr("record.checkpoint.require_readable", lambda content: None)
    with Run(tmp_path, config) as run:
        for step in (1, 2):
            run.metrics.append({"step": step})
            run.save_checkpoint({"history": collections.deque([step])}, step)
        run.stop()
    refused(tmp_path, config, r"whole, and cannot be read \(Unsupported global: .*deque")


def test_a_checkpoint_that_may_not_be_read_is_no_damage(tmp_path, config, monkeypatch):
    interrupted(tmp_path, config)

    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("record.checkpoint.digest", forbidden)
    refused(tmp_path, config, "Permission denied")


def test_what_is_no_file_is_no_damage(tmp_path, config):
    newest = found(interrupted(tmp_path, config))[0]
    newest.rename(tmp_path / "elsewhere.pt")
    newest.symlink_to(tmp_path / "elsewhere.pt")
    refused(tmp_path, config, "a symbolic link, not a regular file")


@pytest.mark.parametrize("value", [collections.deque([1]), np.float64(0.5), lambda: 1, Path("x")])
def test_a_state_that_cannot_come_back_is_found_at_the_first_save(tmp_path, config, value):
    with Run(tmp_path, config) as run:
        with pytest.raises(ValueError, match="state of this run c") as caught:
            run.save_checkpoint({"optimizer": {"state": {0: value}}}, 1)
        assert "\n" not in str(caught.value)
        assert found(run.folder) == []
        run.stop()


def test_a_result_says_when_each_attempt_was_under_way(tmp_path, config):
    with Run(tmp_path, config) as run:
        run.stop()
    time.sleep(0.05)
    with Run(tmp_path, config) as run:
        (begin, end), (again, finished) = run.finish({"state": "done", "metrics": {}})["spans"]
    assert begin < end < again - 0.04 < finished


def test_another_runs_checkpoint_is_never_resumed(tmp_path):
    ours, theirs = make_config(), make_config(seed=1)
    for config in (ours, theirs):
        interrupted(tmp_path, config)
    stolen = found(run_folder(tmp_path, theirs))[0]
    for path in found(run_folder(tmp_path, ours)):
        path.unlink()
    shutil.copy(stolen, run_folder(tmp_path, ours))
    refused(tmp_path, ours, f"of run {run_id(semantic(theirs))}, not of {run_id(semantic(ours))}")


def test_a_checkpoint_that_names_no_run_is_kept_for_the_version_that_wrote_it(tmp_path, config):
    folder = interrupted(tmp_path, config)
    checkpoint.save(folder, checkpoint.packed({"metrics_length": 0, "state": {"step": 9}}), 9)
    refused(tmp_path, config, "of no named run")


@pytest.mark.parametrize("left", [0, 5])
def test_missing_rows_are_told_and_never_made_up(tmp_path, config, left):
    """A store whose metrics were copied before its checkpoints looks like this."""
    metrics = interrupted(tmp_path, config) / "metrics.jsonl"
    whole = metrics.read_bytes()
    metrics.write_bytes(whole[:left])
    refused(tmp_path, config, f"has {left} bytes, and the newest checkpoint knows {len(whole)}: rows are missing")
    metrics.write_bytes(whole)
    with Run(tmp_path, config) as run:
        assert run.load_checkpoint() == {"step": 2}
        run.stop()


def test_a_row_that_changed_is_told(tmp_path, config):
    metrics = interrupted(tmp_path, config) / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes().replace(b"1", b"3"))
    refused(tmp_path, config, "its rows are not those that the newest checkpoint knows")


def test_a_new_attempt_removes_what_a_kill_inside_a_write_left(tmp_path, config):
    folder = interrupted(tmp_path, config)
    (folder / ".result.json.0123abcd.tmp").write_text("{")
    (folder / ".mine.tmp").write_text("not of an atomic write")
    finish(tmp_path, config)
    assert [path.name for path in folder.glob(".*")] == [".mine.tmp"]


def test_after_a_removal_under_it_the_first_writer_writes_nothing_more(tmp_path, config):
    first = Run(tmp_path, config)
    first.metrics.append({"step": 1})
    shutil.rmtree(tmp_path / "digits")
    with Run(tmp_path, config) as second:
        second.metrics.append({"step": 1, "second": True})
        before = {path: path.read_bytes() for path in second.folder.iterdir()}
        for write in (
            lambda: first.metrics.append({"step": 2}),
            lambda: first.metrics.cut(0),
            lambda: first.save_checkpoint({"step": 2}, 2),
            lambda: first.log("still here"),
            lambda: first.finish({"state": "done", "metrics": {}}),
        ):
            with pytest.raises(Claimed, match="taken over by another process, or removed"):
                write()
        first.fail("error", "claimed")
        assert {path: path.read_bytes() for path in second.folder.iterdir()} == before
        second.finish({"state": "done", "metrics": {}})
    assert read_lines(second.folder / "metrics.jsonl") == ([{"step": 1, "second": True}], 0)


def logged(store, config):
    with Run(store, config) as run:
        run.load_checkpoint()
        run.log("text")


def test_a_link_in_a_run_folder_leads_nowhere(tmp_path, config):
    """An unfinished run from elsewhere cannot make the next attempt cut, or append to, a file of its user."""
    victim = tmp_path / "victim"
    for name in ("metrics.jsonl", "log.txt"):
        victim.write_text("mine\n")
        folder = run_folder(tmp_path / name, config)
        folder.mkdir(parents=True)
        (folder / name).symlink_to(victim)
        with pytest.raises(ValueError, match="symbolic link"):
            logged(tmp_path / name, config)
        assert victim.read_text() == "mine\n"


def test_two_checkpoints_are_kept_and_a_flipped_bit_falls_back(tmp_path, config, capsys):
    with Run(tmp_path, config) as run:
        for step in (1, 2, 10):
            run.metrics.append({"step": step})
            run.save_checkpoint({"step": step}, step)
        run.stop()
    newest, older = found(run.folder)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with Run(tmp_path, config) as run:
        assert run.load_checkpoint()["step"] == 2
        assert capsys.readouterr().out.count("\n") == 1
        assert read_lines(run.metrics.path)[0] == [{"step": 1}, {"step": 2}]
        older.write_bytes(older.read_bytes()[:100])
        assert run.load_checkpoint() is None
        run.save_checkpoint({"step": 1}, 1)
        assert len(found(run.folder)) == 1


@pytest.mark.parametrize(("keep", "left"), [("none", 0), ("weights", 1), ("all", 3)])
def test_keep(tmp_path, keep, left):
    with Run(tmp_path, make_config(keep=keep)) as run:
        for step in (1, 2):
            run.save_checkpoint({"step": step}, step)
        run.finish({"state": "done", "metrics": {}}, {"w": torch.ones(1)})
    assert len(list(run.folder.glob("*.pt"))) == left


def failing(store, config):
    with Run(store, config) as run:
        with pytest.raises(Claimed):
            Run(store, config)
        assert status(run.folder).state == "running"
        raise RuntimeError("boom")


def test_claimed_while_open_and_free_after_a_failure(tmp_path, config):
    with pytest.raises(RuntimeError, match="boom"):
        failing(tmp_path, config)
    folder = run_folder(tmp_path, config)
    after = status(folder)
    assert (after.state, after.kind, after.message) == ("failed", "error", "RuntimeError: boom")
    assert "Traceback" in (folder / "log.txt").read_text()
    finish(tmp_path, config)
    assert status(folder).state == "done"


def test_result_names_are_records_own(tmp_path, config):
    with pytest.raises(ValueError, match="id is added by record"), Run(tmp_path, config) as run:
        run.finish({"state": "done", "metrics": {}, "id": "mine"})
    assert read_result(run.folder) is None


KILLED = """
import json, sys, torch
from record.run import Run
run = Run(sys.argv[1], json.loads(sys.argv[2]))
state = run.load_checkpoint() or {"step": 0}
for step in range(state["step"] + 1, 100_000):
    run.metrics.append({"step": step})
    run.save_checkpoint({"step": step, "w": torch.zeros(1000)}, step)
    print(step, flush=True)
"""


def test_kill_9_at_any_moment_loses_and_doubles_nothing(tmp_path, config):
    acknowledged = 0
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, tmp_path, json.dumps(config)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(10):
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        process.stdout.close()
    with Run(tmp_path, config) as run:
        step = run.load_checkpoint()["step"]
        assert step >= acknowledged
        assert read_lines(run.metrics.path) == ([{"step": k} for k in range(1, step + 1)], 0)


def test_a_full_disk_keeps_the_checkpoints_and_the_run_goes_on(tmp_path, config, capsys):
    with Run(tmp_path, config) as run:
        run.save_checkpoint({"step": 1}, 1)
        run.save_checkpoint({"step": 2}, 2)
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, old[1]))
        try:
            assert not run.save_checkpoint({"w": torch.zeros(100_000)}, 3)
            with pytest.raises(OSError):
                run.save_checkpoint({"w": torch.zeros(100_000)}, 3, required=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
            signal.signal(signal.SIGXFSZ, handler)
        assert "step 3 not written" in capsys.readouterr().out
        assert run.load_checkpoint()["step"] == 2


def test_an_unwritable_store_is_an_os_error(tmp_path, config):
    (tmp_path / "digits").write_text("in the way")
    with pytest.raises(OSError):
        Run(tmp_path, config)


def test_a_finished_run_is_not_opened_again(tmp_path, config):
    _, folder = finish(tmp_path, config)
    before = (folder / "result.json").read_bytes()
    with pytest.raises(Claimed, match="finished"):
        Run(tmp_path, config)
    assert (folder / "result.json").read_bytes() == before
    assert not list(folder.glob("claim-*"))


def test_weights_hash_sees_every_bit_and_no_order():
    weights = {"a": torch.arange(4.0), "b": torch.tensor(True), "c": torch.zeros(2, dtype=torch.bfloat16)}
    same = dict(reversed(weights.items()))
    assert weights_hash(weights) == weights_hash(same)
    for name in weights:
        other = dict(weights, **{name: ~weights[name] if name == "b" else weights[name] + 1})
        assert weights_hash(other) != weights_hash(weights)
    assert weights_hash({"a": torch.zeros(2)}) != weights_hash({"a": torch.zeros(1, 2)})
    assert weights_hash({"a": -torch.zeros(2)}) != weights_hash({"a": torch.zeros(2)})
