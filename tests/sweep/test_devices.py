"""Slots of devices, told by a fake nvidia-smi: who shares a GPU, who has several, and what can never run."""

import sys

import pytest

from conf.errors import UsageError
from sweep.__main__ import main
from sweep.backend import Job, Local, devices, job
from sweep.plan import plan
from sweep.wanted import Wanted

SHOW = "import os, time; time.sleep(0.3); print(os.environ.get('CUDA_VISIBLE_DEVICES', 'unset'))"


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fake = tmp_path / "bin" / "nvidia-smi"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")


def seen(local, folder, *processes):
    """Run a job of so many processes each; return the GPUs that each sees."""
    jobs = [Job((sys.executable, "-c", SHOW), folder / f"{k}.log", n) for k, n in enumerate(processes)]
    for handle in local.submit(jobs):
        assert handle.future.result(60).code == 0
    return [job.log.read_text().split()[-1] for job in jobs]


def test_the_machine_says_which_gpus_there_are(two_gpus, monkeypatch):
    assert devices() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-7f")
    assert devices() == ["3", "GPU-7f"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", "/nowhere")
    assert devices() == []


def test_each_run_has_a_gpu_of_its_own_or_shares_one(tmp_path):
    assert seen(Local(2, ["0", "1"]), tmp_path, 1, 1) == ["0", "1"]
    assert sorted(seen(Local(4, ["0", "1"]), tmp_path, 1, 1, 1, 1)) == ["0", "0", "1", "1"]
    assert seen(Local(1), tmp_path, 1) == ["unset"]


def test_a_run_of_several_processes_has_as_many_gpus(tmp_path):
    local = Local(4, ["0", "1"])
    assert (local.room(1), local.room(2)) == (4, 1)
    assert seen(local, tmp_path, 2, 1) == ["0,1", "0"]
    while local.room(1) < 4:
        pass
    with pytest.raises(UsageError, match="processes: 3 for a run; there are 2 slots"):
        local.room(3)


def test_torchrun_starts_a_run_that_asks_for_several(tmp_path):
    (one,) = plan(Wanted("t", (("optimizer=sgd", "seed=1"),), True))
    (two,) = plan(Wanted("t", (("optimizer=sgd", "processes=2", "seed=1"),), True))
    assert one.id != two.id  # batch norm sees another batch
    assert two.line == one.words
    command = job(two, tmp_path).command
    assert command[1:6] == ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    assert command[6:] == job(one, tmp_path).command[1:]


def test_a_sweep_shares_the_gpus_out(two_gpus, table, tmp_path, capsys):
    words = ["run", str(table), "--store", str(tmp_path / "runs"), "--per-gpu", "2", "--limit", "4"]
    assert main(words) == 3
    lines = (tmp_path / "executed.txt").read_text().splitlines()
    assert sorted(line.split()[2] for line in lines) == ["0", "0", "1", "1"]


@pytest.mark.parametrize(("own", "threads"), [("3", 3), ("x", None), ("0", None)])
def test_the_users_number_of_threads_goes_before_ours(own, threads, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    ours = Local(1).threads
    monkeypatch.setenv("OMP_NUM_THREADS", own)
    assert Local(1).threads == (threads or ours)
