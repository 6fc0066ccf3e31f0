"""What happens when the world breaks: the table in docs/reliability.md, where no other test shows the line."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

import train
from conf.errors import UsageError
from data.streaming import _Decoder
from record.read import read_result, read_store, status
from record.supervise import supervise
from tests.train.conftest import folder
from tests.train.processes import PATIENCE, ended, ended_alike, folder_of, left, ran, started
from tests.train.test_kills import reached
from training.budget import Clock
from training.state import TrainState

ROOT = Path(__file__).resolve().parents[2]
SHORT = ("optimizer=sgd", "budget=steps", "budget.steps=6")
STREAMED = (*SHORT, "data=imagenet", "data.synthetic=32", "data.image_size=32", "data.eval_size=32", "batch_size=8")


def test_the_table_names_tests_that_exist() -> None:
    lines = [line for line in (ROOT / "docs/reliability.md").read_text().splitlines() if line.startswith("| ")][2:]
    assert len(lines) > 15
    for line in lines:
        named = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", line)
        assert named, line
        for path, name in named:
            assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device"), "disk"),
        (MemoryError(), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory"), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "oom"),
        (RuntimeError("a cable was pulled"), "error"),
        (SystemExit(0), "error"),
    ],
)
def test_a_failure_is_recorded_by_its_kind(settings, capsys, error: BaseException, kind: str) -> None:
    config = settings(*SHORT)

    def fit() -> Any:
        raise error

    with train.Run(config["paths"]["store"], config) as run:
        assert supervise(run, fit, ()) == 70
    assert (status(run.folder).state, status(run.folder).kind) == ("failed", kind)


def test_a_thread_that_is_left_behind_holds_no_process() -> None:
    """As an optimizer of a user's may leave one; a process that ends by itself is let alone."""
    leave = "import threading, time; from record import supervise; supervise.GRACE = 0.2; {}; supervise.leave(3)"
    for thread, said in (
        ("pass", ""),
        ("threading.Thread(target=time.sleep, args=(60,), name='idle').start()", "idle"),
    ):
        done = subprocess.run([sys.executable, "-c", leave.format(thread)], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 3
        assert done.stderr == (f"left running, and ended: {said}\n" if said else "")


def test_a_store_that_cannot_be_written_is_one_line(settings) -> None:
    config = settings(*SHORT, "paths.store=/proc/self/nowhere")
    with pytest.raises(UsageError, match=r"paths\.store: .*/proc/self/nowhere") as caught:
        train.run(config, [])
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_version_is_refused_and_kept(settings, monkeypatch) -> None:
    config = settings(*SHORT, "keep=all", "checkpoint.every_steps=2")
    with monkeypatch.context() as patch:
        patch.setattr("training.checkpoints.FORMAT", 1)
        patch.setattr(train.Trainer, "end_epoch", lambda self: 1 / 0)
        assert train.run(config, []) == 70
    before = sorted(folder(config).glob("checkpoint-*.pt"))
    assert before
    assert train.run(config, []) == 70
    assert "format 1, this version of stepbench reads 3" in status(folder(config)).message
    assert sorted(folder(config).glob("checkpoint-*.pt")) == before


def fails_and_resumes(config: dict[str, Any], break_it, mend_it) -> str:
    """Break the world before the first step, mend it after the failure, run again; returns what was recorded."""
    fit = train.Trainer.fit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.Trainer, "fit", lambda self, *parts: (break_it(self), fit(self, *parts))[1])
        assert train.run(config, []) == 70
    assert read_result(folder(config)) is None
    message = status(folder(config)).message
    mend_it()
    assert train.run(config, []) == 0
    return message


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_file_that_vanishes_is_named_and_the_run_goes_on_when_it_is_back(settings, capsys, workers) -> None:
    config = settings(*STREAMED, f"workers={workers}")
    gone: list[Path] = []

    def remove(trainer) -> None:
        gone.append(Path(trainer.data.train.decoder.paths[5]))
        shutil.move(gone[0], gone[0].with_suffix(".gone"))

    message = fails_and_resumes(config, remove, lambda: shutil.move(gone[0].with_suffix(".gone"), gone[0]))
    assert str(gone[0]) in message


def test_a_killed_loader_worker_ends_the_run_and_the_same_command_goes_on(settings, capsys, monkeypatch) -> None:
    config, images = settings(*STREAMED, "workers=2"), _Decoder._images

    def die(self, key, positions) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    message = fails_and_resumes(
        config,
        lambda trainer: monkeypatch.setattr(_Decoder, "_images", die),
        lambda: monkeypatch.setattr(_Decoder, "_images", images),
    )
    assert "worker" in message


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_a_jump_of_the_clock_is_no_training_time(monkeypatch, jump: int) -> None:
    real, clock = time.time, Clock()
    clock.start()
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    clock.stop()
    assert 0 <= clock.seconds < 60


def test_a_second_interrupt_stops_at_once(settings, capsys, monkeypatch) -> None:
    config, step = settings(*SHORT), train.Trainer.train_step

    def interrupted(self, *parts) -> None:
        step(self, *parts)
        if self.state.step == 1:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("went on after the second Ctrl-C")

    with monkeypatch.context() as patch:
        patch.setattr(train.Trainer, "train_step", interrupted)
        assert train.run(config, []) == 75
    assert status(folder(config)).state == "stopped"
    assert train.run(config, []) == 0
    assert read_result(folder(config))["steps"] == 6


def test_a_store_copied_while_a_run_writes_is_readable_and_resumes_if_its_metrics_came_last(tmp_path: Path) -> None:
    words = ["model=resnet20", "batch_size=96", "optimizer=sgd", "progress=false", "keep=all", "threads=1"]
    words += ["checkpoint.every_steps=2", "budget=steps", "budget.steps=60"]
    whole, copy = tmp_path / "runs", tmp_path / "copy"
    running, end = started(whole, words), time.monotonic() + PATIENCE
    while reached(folder_of(whole, words)) < 20 and time.monotonic() < end:
        time.sleep(0.01)
    subprocess.run(["cp", "-r", whole, copy], check=False, stderr=subprocess.DEVNULL)  # files come and go meanwhile
    shutil.copy(folder_of(whole, words) / "metrics.jsonl", folder_of(copy, words))
    assert read_store(copy)[0] == []
    assert not status(folder_of(copy, words)).finished
    assert ended(running) == [0]
    ended_alike(left(folder_of(whole, words)), ran(copy, words))
    assert read_result(folder_of(copy, words))["attempts"] == 2


def test_a_resume_without_its_rows_ends_with_one_line_and_goes_on_when_they_are_back(settings, capsys) -> None:
    """As after a copy whose metrics came first."""
    config = settings(*SHORT, "checkpoint.every_steps=1", "keep=all", "budget.steps=40")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainState, "over", lambda self: 1 / 0 if self.step > 30 else False)
        assert train.run(config, []) == 70
    metrics = folder(config) / "metrics.jsonl"
    rows = metrics.read_bytes()
    assert rows
    metrics.write_bytes(rows[:-1])
    capsys.readouterr()
    assert train.run(config, []) == 70
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "rows are missing" in said[0]
    metrics.write_bytes(rows)
    assert train.run(config, []) == 0
    assert read_result(folder(config))["attempts"] == 3
