"""`train.py -m`: the exit code is the worst of the jobs, one request to stop ends them all, nothing is left behind."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import train
from conf import command_line, multirun
from conf.errors import UsageError
from record.read import read_store
from training.runtime import SharedStop

Answer = Callable[[], int]
BASIC = ("hydra/launcher=basic",)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, list[int]]]:
    """Run a multirun of as many seeds as there are answers, each answer in place of a run; returns code and seeds."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def answered(*answers: int | Answer, launcher: tuple[str, ...] = ()) -> tuple[int, list[int]]:
        seeds: list[int] = []

        def run(config: dict[str, Any], overrides: list[str], stop: object) -> int:
            seeds.append(config["seed"])
            answer = answers[config["seed"]]
            return answer() if callable(answer) else answer

        monkeypatch.setattr(train, "run", run)
        jobs, chosen = multirun.split([f"seed=range({len(answers)})", *launcher])
        code = train.main(command_line.Asked(jobs, True, chosen))
        assert list(tmp_path.iterdir()) == []
        return code, seeds

    return answered


def raises(error: Exception) -> int:
    raise error


def signalled(number: signal.Signals) -> int:
    os.kill(os.getpid(), number)
    return 75


def test_the_exit_code_is_the_worst_of_the_jobs(made, capfd) -> None:
    assert made(0, 70, 0) == (70, [0, 1, 2])
    assert made(75, 0) == (75, [0, 1])  # another process has it: the others are made all the same
    assert made(70, 75) == (70, [0, 1])
    absent, full = UsageError("data: not there"), PermissionError(13, "Permission denied", "/x")
    assert made(partial(raises, absent), partial(raises, full), 0) == (1, [0, 1, 2])
    assert capfd.readouterr().err == "stepbench: data: not there\nstepbench: /x: Permission denied\n"
    assert made(partial(raises, RuntimeError("a bug")), 0) == (70, [0, 1])
    assert "a bug" in capfd.readouterr().err


def test_a_launcher_of_hydras_tells_of_every_job(made) -> None:
    assert made(0, 0, launcher=BASIC) == (0, [0, 1])
    assert made(75, 70, 0, launcher=BASIC) == (70, [0, 1, 2])
    assert made(0, partial(signalled, signal.SIGINT), 0, launcher=BASIC) == (75, [0, 1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_all(made, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    assert made(0, partial(signalled, number), 0, 0) == (75, [0, 1])
    assert signal.getsignal(number) is before


def test_a_signal_between_two_jobs_counts(made, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = multirun.launch
    monkeypatch.setattr(multirun, "launch", lambda *args: signalled(signal.SIGTERM) and launch(*args))
    assert made(0, 0) == (75, [])


LISTENER = """
import sys, time
from pathlib import Path
from training.runtime import SharedStop
with SharedStop(Path(sys.argv[1])).listening() as stop:
    print("ready", flush=True)
    for _ in range(1000):
        if stop:
            sys.exit(75)
        time.sleep(0.02)
"""


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-c", LISTENER, str(tmp_path / "shared")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    yield running
    for process in running:
        process.kill()
        process.communicate()


def test_one_request_reaches_every_process(listeners: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    listeners[0].send_signal(signal.SIGINT)
    assert [process.wait(20) for process in listeners] == [75, 75]
    assert SharedStop(tmp_path / "shared")


def test_the_jobs_are_those_of_single_runs(tmp_path: Path, capsys) -> None:
    custom = ("optimizer=custom", "optimizer.target=torch.optim.RMSprop", "optimizer.args={lr: 0.1}")
    short = ("model=resnet20", "budget=steps", "budget.steps=1", "progress=false", "workers=0", "threads=1")
    store = tmp_path / "a, (b) ü "
    jobs, _ = multirun.split([*custom, *short, "seed=3,4", f"paths.store={store}"])
    assert train.main(command_line.Asked(jobs, True)) == 0
    rows, complaints = read_store(store)
    assert complaints == []
    assert sorted(row["seed"] for row in rows) == [3, 4]
    assert train.main(command_line.Asked(jobs, True)) == 0
    said = capsys.readouterr().out
    assert said.count("already there") == 2
    assert said.count("[1/2] seed=3\n") == said.count("[2/2] seed=4\n") == 2
