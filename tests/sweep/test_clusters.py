"""SLURM (by submitit's local executor) and Ray (by a cluster on this machine); `make test-extras` runs them."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from conf.errors import UsageError
from record.read import read_store
from sweep.__main__ import main
from sweep.backend import job
from sweep.clusters import Slurm, parameter_names
from sweep.plan import plan
from sweep.wanted import Wanted
from tests.sweep.test_run import wait_for, workers

EIGHT = "seeds: [0, 1]\ngrid: [{optimizer: [sgd, adamw], optimizer.lr: [0.1, 0.01]}]"


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def eight(tmp_path):
    path = tmp_path / "eight.yaml"
    path.write_text(EIGHT)
    return path


@pytest.mark.extras
def test_slurm_runs_a_table_and_repeats_what_is_lost(eight, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("STEPBENCH_PLANT", json.dumps({"sgd-s0": "once", "sgd-s1": "error"}))
    words = ["run", str(eight), "--store", str(tmp_path / "runs"), "--backend", "slurm", "--slurm", "cluster=local"]
    assert main(words) == 4
    assert len(read_store(tmp_path / "runs")[0]) == 6
    monkeypatch.delenv("STEPBENCH_PLANT")
    assert main([*words, "--retry", "failed"]) == 0


@pytest.mark.extras
def test_the_private_names_of_submitit_are_where_they_were(tmp_path):
    """If this fails, submitit has moved what `parameter_names` uses: that function alone has to follow."""
    submitit = pytest.importorskip("submitit")
    names = parameter_names(submitit.AutoExecutor(tmp_path, cluster="local"))
    assert {"timeout_min", "gpus_per_node", "stderr_to_stdout"} <= names


@pytest.mark.extras
def test_an_unknown_parameter_of_slurm_is_one_line(tmp_path):
    pytest.importorskip("submitit")
    with pytest.raises(UsageError, match=r"--slurm timeout: unknown; allowed: .*timeout_min") as raised:
        Slurm(tmp_path, parameters=["cluster=local", "timeout=3"])
    assert "\n" not in str(raised.value)


@pytest.mark.extras
def test_slurm_preemption_requeues_and_goes_on(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("STEPBENCH_FAKE_SECONDS", "1")
    store = tmp_path / "runs"
    (run,) = plan(Wanted("one", (("optimizer=sgd", "seed=0"),), distinct=True))
    backend = Slurm(tmp_path / "slurm", parameters=["cluster=local"])
    (handle,) = backend.submit([job(run, store)])
    wait_for(lambda: (store / run.folder / "metrics.jsonl").exists())
    os.kill(parent(workers(store)[0]), signal.SIGUSR2)  # as SLURM warns a job
    assert handle.future.result(timeout=60).code == 0
    assert json.loads((store / run.folder / "result.json").read_text())["attempts"] == 2


@pytest.mark.extras
def test_ray_runs_a_table_and_survives_the_death_of_a_worker(eight, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("STEPBENCH_FAKE_SECONDS", "0.3")
    store = tmp_path / "runs"

    def kill_one_worker():
        import threading

        def work():
            wait_for(lambda: workers(store), 60)
            time.sleep(0.5)
            os.kill(
                int(Path(f"/proc/{workers(store)[0]}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL
            )

        threading.Thread(target=work, daemon=True).start()

    kill_one_worker()
    try:
        assert main(["run", str(eight), "--store", str(store), "--backend", "ray", "--jobs", "2"]) == 0
    finally:
        ray.shutdown()
    assert len(read_store(store)[0]) == 8


def test_a_missing_extra_is_one_line(eight, tmp_path, monkeypatch):
    for name in ("submitit", "ray"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    for backend in ("slurm", "ray"):
        with pytest.raises(UsageError, match=rf"--backend {backend}: needs"):
            main(["run", str(eight), "--store", str(tmp_path / "runs"), "--backend", backend])
