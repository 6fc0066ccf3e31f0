"""Stores that are full or may not be written: one line, no run without a parent, and the same command goes on."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from conf.errors import UsageError
from reports.__main__ import main as report
from sweep import runner
from sweep.__main__ import main
from sweep.backend import Job, Local
from tests.reports import synthetic
from tests.sweep.test_run import ROOT, executions, workers

THREE = "grid: [{optimizer: [sgd, adamw, adam]}]"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    path = tmp_path / "three.yaml"
    path.write_text(THREE)
    return path


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *map(str, words)], cwd=ROOT, capture_output=True, text=True)


def one_line(text: str) -> str:
    (line,) = text.splitlines()
    assert line.startswith("stepbench: ")
    return line


def test_a_disk_that_fills_stops_all_and_the_same_command_goes_on(disk, three, monkeypatch):
    monkeypatch.setenv("STEPBENCH_PLANT", json.dumps({"sgd-s0": "fill"}))
    monkeypatch.setenv("STEPBENCH_FAKE_SECONDS", "0.3")
    store = disk / "runs"
    words = ("sweep", "run", three, "--store", store, "--jobs", "2")
    done = command(*words)
    assert done.returncode == 75
    line = one_line(done.stderr)
    assert "No space left on device" in line
    assert "the same command goes on" in line
    assert workers(store) == []
    assert len(executions(store)) == 2  # the others were not tried
    for log in store.glob("*/*/*/*/log.txt"):
        log.unlink()
    monkeypatch.delenv("STEPBENCH_PLANT")
    monkeypatch.setenv("STEPBENCH_FAKE_SECONDS", "0")
    assert command(*words).returncode == 0  # without --retry failed


def test_a_run_that_failed_by_the_disk_did_not_fail(tmp_path, three, monkeypatch, capsys):
    """There is room again when the sweep looks: the run's own word counts."""
    three.write_text("grid: [{optimizer: sgd}]")
    monkeypatch.setenv("STEPBENCH_PLANT", json.dumps({"sgd-s0": "disk"}))
    words = ["run", str(three), "--store", str(tmp_path / "runs")]
    assert main(words) == 75
    assert "No space left" in one_line(capsys.readouterr().err)
    monkeypatch.delenv("STEPBENCH_PLANT")
    assert main(words) == 0


WRITERS = {
    "merge": lambda place: main(["merge", str(synthetic.STORE), str(place / "merged")]),
    "tables": lambda place: report(
        ["tables", "digits_demo", "--store", str(synthetic.STORE), "--out", str(place / "x")]
    ),
}


def test_a_place_that_may_not_be_written_is_one_line(disk, three):
    remount(disk, "ro")
    for write in (*WRITERS.values(), lambda place: main(["run", str(three), "--store", str(place / "runs")])):
        with pytest.raises(UsageError, match=rf"{disk}.*: Read-only file system$") as raised:
            write(disk)
        assert "\n" not in str(raised.value)


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(disk):
    for write in WRITERS.values():
        with suppress(OSError), open(disk / "ballast", "wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
        with pytest.raises(UsageError, match=r"No space left on device$") as raised:
            write(disk)
        assert "\n" not in str(raised.value)
        (disk / "ballast").unlink()
        assert write(disk) == 0


def test_output_that_cannot_be_written_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sweep", "plan", "digits_demo"], cwd=ROOT, stdout=full, stderr=-1, text=True
        )
    assert done.returncode == 1
    assert "No space left on device" in one_line(done.stderr)


def test_whatever_is_raised_in_between_no_run_is_left_behind(three, tmp_path, monkeypatch):
    """A reader of stdout that leaves, or a fault of ours."""
    monkeypatch.setenv("STEPBENCH_FAKE_SECONDS", "5")
    store = tmp_path / "runs"
    for error in (BrokenPipeError(), ZeroDivisionError()):

        def raising(self, error=error):
            if len(workers(store)) == 2:
                raise error

        monkeypatch.setattr(runner.Sweep, "_look_elsewhere", raising)
        with pytest.raises(type(error)):
            main(["run", str(three), "--store", str(store), "--jobs", "2"])
        assert workers(store) == []


def test_a_job_that_cannot_start_is_an_error_of_its_future_and_takes_no_slot(tmp_path):
    (tmp_path / "file").write_text("")
    local = Local(2, grace=5)
    running, refused = local.submit(
        [Job(("sleep", "60"), tmp_path / "a.log"), Job(("sleep", "60"), tmp_path / "file" / "b.log")]
    )
    with pytest.raises(OSError):
        refused.future.result()
    assert local.room(1) == 1
    running.stop(False)
    assert running.future.result(timeout=30).code == -signal.SIGTERM
    assert local.room(1) == 2


def test_a_place_that_is_no_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (Path("/dev/null"), Path("/dev/full"), tmp_path / "file"):
        for write in WRITERS.values():
            with pytest.raises(UsageError, match=str(place)) as raised:
                write(place)
            assert "\n" not in str(raised.value)
