import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from conf.errors import UsageError
from record.read import read_store
from sweep import backend
from sweep.__main__ import main
from tests.sweep.conftest import facts

ROOT = Path(__file__).parents[2]


def executions(store):
    path = store.parent / "executed.txt"
    return Counter(line.split()[0] for line in path.read_text().splitlines())


def sweep(table, store, *words):
    return main(["run", str(table), "--store", str(store), "--jobs", "2", *words])


def process(table, store, *words):
    command = [sys.executable, "-m", "sweep", "run", str(table), "--store", str(store), *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def workers(store):
    """The pids of the processes that write into a store."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if f"paths.store={store.resolve()}" in words:
            found.append(int(entry.name))
    return found


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_complete_store_is_left_alone(complete, table, capsys):
    before = executions(complete)
    assert sweep(table, complete) == 0
    assert executions(complete) == before
    assert set(before.values()) == {1}
    assert "12 done, 0 to run" in capsys.readouterr().out


def test_bad_runs_are_rows_and_the_others_go_on(complete, table, tmp_path, monkeypatch, capsys):
    deeds = {"sgd-s0": "segv", "sgd-s1": "error", "sgd-s2": "nan", "adamw-s0": "once", "adamw-s1": "exit"}
    monkeypatch.setenv("STEPBENCH_PLANT", json.dumps(deeds))
    store = tmp_path / "runs"
    path = tmp_path / "six.yaml"
    path.write_text("seeds: [0, 1, 2]\ngrid: [{optimizer: [sgd, adamw], model: resnet18, optimizer.lr: 0.1}]")
    assert sweep(path, store, "--retries", "1") == 4
    assert main(["status", str(path), "--store", str(store), "--failed"]) == 4
    out = capsys.readouterr().out
    assert "2 done, 1 diverged, 3 failed" in out
    for text in ("crashed: killed by SIGSEGV", "error: ZeroDivisionError", "crashed: ended with exit code 0"):
        assert text in out
    assert sorted(executions(store).values()) == [1, 1, 1, 1, 2, 2]

    assert sweep(path, store) == 4  # what failed is not tried again unless asked for
    assert sorted(executions(store).values()) == [1, 1, 1, 1, 2, 2]
    monkeypatch.delenv("STEPBENCH_PLANT")
    assert sweep(path, store, "--retry", "failed") == 0
    diverged = [row for row in read_store(store)[0] if row["state"] == "diverged"]
    assert len(diverged) == 1


def test_a_time_limit_ends_the_deaf(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(backend.Local.__init__, "__defaults__", ((), 2.0, 0.3))
    monkeypatch.setenv("STEPBENCH_PLANT", json.dumps({"sgd-s0": "deaf"}))
    path = tmp_path / "two.yaml"
    path.write_text("seeds: [0, 1]\ngrid: [{optimizer: sgd}]")
    assert sweep(path, tmp_path / "runs", "--timeout", "0.05") == 4
    assert "timeout" in capsys.readouterr().out
    assert workers(tmp_path / "runs") == []


def test_fail_fast_and_limit(table, tmp_path, monkeypatch):
    monkeypatch.setenv("STEPBENCH_PLANT", json.dumps({"sgd-s0": "error"}))
    assert sweep(table, tmp_path / "a" / "runs", "--fail-fast", "--jobs", "1") == 75
    assert len(executions(tmp_path / "a" / "runs")) == 1
    monkeypatch.delenv("STEPBENCH_PLANT")
    assert sweep(table, tmp_path / "b" / "runs", "--limit", "2") == 3
    assert len(read_store(tmp_path / "b" / "runs")[0]) == 2
    assert sweep(table, tmp_path / "c" / "runs", "--limit", "0") == 3
    assert not (tmp_path / "c" / "executed.txt").exists()


def test_overrides_may_stand_behind_the_flags(table, tmp_path, capsys):
    assert main(["plan", "--store", str(tmp_path), str(table), "--list", "budget.epochs=7"]) == 0
    assert capsys.readouterr().out.count("budget.epochs=7") == 12
    with pytest.raises(UsageError, match="unrecognized arguments: --lst"):
        main(["plan", "--store", str(tmp_path), str(table), "--lst"])


def test_a_reader_that_leaves_costs_no_run(table, tmp_path):
    """`python -m sweep run TABLE | head -1`."""
    command = [sys.executable, "-m", "sweep", "run", str(table), "--store", str(tmp_path / "runs"), "--jobs", "2"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 0
    assert len(read_store(tmp_path / "runs")[0]) == 12


def test_when_the_first_all_fail_the_rest_is_not_tried(table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sweep.runner.HOPELESS", 3)
    monkeypatch.setenv("STEPBENCH_PLANT", json.dumps({f"sgd-s{seed}": "error" for seed in range(3)}))
    assert sweep(table, tmp_path / "runs", "--jobs", "1") == 75
    assert len(executions(tmp_path / "runs")) == 3


def test_ctrl_c_stops_all_and_the_same_command_goes_on(table, tmp_path, monkeypatch):
    monkeypatch.setenv("STEPBENCH_FAKE_SECONDS", "0.3")
    store = tmp_path / "runs"
    running = process(table, store, "--jobs", "2")
    wait_for(lambda: len(workers(store)) == 2)
    time.sleep(1.0)
    running.send_signal(signal.SIGINT)
    assert running.wait(120) == 75
    assert workers(store) == []
    monkeypatch.setenv("STEPBENCH_FAKE_SECONDS", "0.0")
    assert sweep(table, store, "--limit", "4") == 3


def test_a_second_ctrl_c_kills_what_does_not_stop(tmp_path, monkeypatch):
    monkeypatch.setenv("STEPBENCH_PLANT", json.dumps({"sgd-s0": "deaf"}))
    store, path = tmp_path / "runs", tmp_path / "one.yaml"
    path.write_text("grid: [{optimizer: sgd}]")
    running = process(path, store)
    wait_for(lambda: list(store.glob("*/*/*/*/metrics.jsonl")))
    time.sleep(0.5)
    for _ in range(2):
        running.send_signal(signal.SIGINT)
        time.sleep(0.5)
    assert running.wait(30) == 75  # and not after the minute that a run has for its checkpoint
    assert workers(store) == []


def test_wallclock_budgets_are_measured_first_and_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STEPBENCH_FAKE_SECONDS", "0.2")  # or the run that measured ends before it can be interrupted
    path, store = tmp_path / "clock.yaml", tmp_path / "runs"
    budget = "budget: wallclock_of, budget.reference: sgd, budget.epochs: 3"
    path.write_text(f"seeds: [0, 1]\ngrid: [{{optimizer: [sgd, adamw, adam], {budget}}}]")
    assert sweep(path, store) == 0
    lines = sorted((tmp_path / "measured.txt").read_text().split("\n"))
    assert lines == ["", "0 1"]  # once, with one live run in the store, its own
    assert capsys.readouterr().out.count("measured") == 1
    assert main(["verify", str(store)]) == 0


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.soak)])
def test_kills_leave_the_store_of_an_uninterrupted_sweep(complete, table, tmp_path, rounds, monkeypatch):
    monkeypatch.setenv("STEPBENCH_PLANT", json.dumps({"sgd-s0": "once", "sgd-s1": "once", "adamw-s2": "nan"}))
    planted = {("adamw", 2): "diverged"}
    expected = [(*row[:3], planted.get(row[:2], row[3]), *row[4:]) for row in facts(complete)]
    for number in range(rounds):
        store = tmp_path / str(number) / "runs"
        rng = random.Random(number)
        for what in ("worker", "sweep", "all"):
            running = process(table, store, "--jobs", "2", "--retries", "50")
            wait_for(lambda store=store: workers(store))
            time.sleep(rng.uniform(0.3, 1.5))
            if what == "worker":
                kill(workers(store))
                time.sleep(rng.uniform(0.1, 1.0))
            kill([running.pid])
            running.wait()
            if what == "all":
                kill(workers(store))
        assert sweep(table, store, "--retry", "failed") == 0
        assert facts(store) == expected
        assert main(["verify", str(store)]) == 0


def test_two_sweeps_over_one_store_never_run_one_config_twice(tmp_path):
    store, path = tmp_path / "runs", tmp_path / "eight.yaml"
    path.write_text("seeds: [0, 1, 2, 3]\ngrid: [{optimizer: [sgd, adamw]}]")
    both = [process(path, store, "--jobs", "2") for _ in range(2)]
    assert [running.wait(240) for running in both] == [0, 0]
    assert len(facts(store)) == 8
    assert set(executions(store).values()) == {1}


def test_merge_of_two_halves_is_the_whole(complete, table, tmp_path, capsys):
    halves = [tmp_path / "a", tmp_path / "b"]
    for half, model in zip(halves, ("resnet18", "resnet34"), strict=True):
        shutil.copytree(complete / "digits" / model, half / "digits" / model)
    assert main(["status", str(table), "--store", str(halves[0])]) == 3
    assert main(["merge", *map(str, halves), str(tmp_path / "c")]) == 0
    assert facts(tmp_path / "c") == facts(complete)
    assert main(["status", str(table), "--store", str(tmp_path / "c")]) == 0


def test_verify_finds_what_is_wrong(complete, tmp_path, capsys):
    store = tmp_path / "runs"
    shutil.copytree(complete, store)
    assert main(["verify", str(store)]) == 0
    folders = sorted(store.glob("*/*/*/*"))
    (folders[0] / "metrics.jsonl").write_text("{}\n")
    (folders[1] / "result.json").write_text("{")
    (folders[2] / "checkpoint-of-mine.pt").write_text("old")
    (folders[3] / "config.yaml").unlink()
    capsys.readouterr()
    assert main(["verify", str(store)]) == 4
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[-1] == "8 runs are sound, 4 complaint(s)"


def test_rerun_compares_bits(complete, table, tmp_path, capsys):
    assert main(["rerun", str(table), "--store", str(complete), "--random", "1"]) == 0
    store = tmp_path / "runs"
    shutil.copytree(complete, store)
    folder = sorted(store.glob("*/*/*/*"))[0]
    content = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(content | {"weights_sha256": "0" * 64}))
    assert main(["rerun", str(folder), "--store", str(store)]) == 4
    assert "alarm: " in capsys.readouterr().out
    content["platform"]["device"] = "cuda"
    (folder / "result.json").write_text(json.dumps(content | {"weights_sha256": "0" * 64}))
    assert main(["rerun", content["id"], "--store", str(store)]) == 0


def test_plan_tells_the_cost_from_measured_times(complete, table, tmp_path, capsys):
    assert main(["plan", str(table), "--store", str(tmp_path)]) == 0
    assert "nothing known of 12 runs" in capsys.readouterr().out
    assert main(["plan", str(table), "budget.epochs=100", "--store", str(complete), "--list"]) == 0
    out = capsys.readouterr().out
    assert "12 missing" in out
    assert "cost: 24 s of one slot (24 s to 24 s)" in out


def test_runs_of_other_code_are_counted_and_made_again(complete, table, tmp_path, capsys):
    store = tmp_path / "runs"
    shutil.copytree(complete, store)
    path = sorted(store.glob("*/*/*/*/result.json"))[0]
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"source": content["source"] | {"model": "0" * 16}}))
    main(["plan", str(table), "--store", str(store)])
    assert "other code made 1 of them (model); rerun=true makes these again" in capsys.readouterr().out
    for left in (1, 0):  # the second time there is nothing to do
        assert main(["run", str(table), "rerun=true", "--store", str(store)]) == 0
        assert f"{left} to run" in capsys.readouterr().out
    assert json.loads(path.read_text())["source"] == content["source"]
    assert len(list((store / ".replaced").glob("*/*/*/*/result.json"))) == 1
