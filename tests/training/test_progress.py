"""What is shown while a run trains."""

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from training.progress import Bar, Lines, Silent, describe, progress

ROW = {"epoch": 2, "step": 30, "seconds": 1.5, "lr": 0.01, "train_loss": 0.51234, "test_top1": 91.25}
LINE = "epoch 2  step 30  lr 0.01  train_loss 0.5123  test_top1 91.25"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    screen = Terminal()
    monkeypatch.setattr("training.progress.sys", SimpleNamespace(stdout=screen))
    monkeypatch.setattr("rich.progress.get_console", lambda: Console(file=screen, force_terminal=True, width=120))
    return screen


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test sets."""
    now = [100.0]
    monkeypatch.setattr("training.progress.time.monotonic", lambda: now[0])
    return now


def test_a_row_is_one_line_of_rounded_numbers() -> None:
    assert describe(ROW) == LINE


def test_who_sees_what(terminal: Terminal) -> None:
    assert type(progress(False, 100, 0, 32)) is Silent
    shown = progress(True, 100, 0, 32)
    assert type(shown) is Bar
    shown.close()


def test_without_a_terminal_an_epoch_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress(True, 100, 0, 32)
    assert type(shown) is Lines
    shown.step(1, 0.5)
    shown.row(ROW)
    shown.close()
    assert capsys.readouterr().out == f"{LINE}\n"


def test_the_bar_shows_steps_loss_score_and_rate(terminal: Terminal, ticking: list[float]) -> None:
    bar = Bar(total_steps=100, first_step=20, batch_size=32)
    ticking[0] += 2.0
    bar.step(30, 0.25)
    bar.row(ROW)
    ticking[0] += 2.0
    bar.step(40, 0.125)
    bar.close()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())  # without colours and moves of the cursor
    assert LINE in text
    last = text.rpartition("loss")[2]
    assert "0.125 test_top1 91.25" in last
    assert "40/100" in last
    assert "160 samples/s" in last  # twenty steps of 32 in four seconds: the first twenty were another process's


def test_the_bar_moves_ten_times_a_second_at_most(terminal: Terminal, ticking: list[float]) -> None:
    bar = Bar(total_steps=None, first_step=0, batch_size=1)
    for step in range(1, 100):
        ticking[0] += 0.01
        bar.step(step, float(step))
    drawn = bar._bar.tasks[0].completed
    bar.close()
    assert 85 <= drawn < 99
