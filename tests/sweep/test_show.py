"""What a person sees of a sweep: plain lines, and on a terminal a table below them."""

import io
import json
import sys
from collections import Counter

import pytest
from rich.console import Console

from record.read import Status
from sweep import show
from sweep.plan import plan
from sweep.runner import Progress
from sweep.show import Cost, hours
from sweep.wanted import Wanted


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module")
def runs():
    return plan(
        Wanted("two", (("optimizer=sgd", "model=resnet20"), ("optimizer=sgd", "model=resnet20", "seed=1")), True)
    )


def test_counts_have_a_fixed_order():
    assert show.counts_line(Counter(missing=20, failed=1, done=3)) == "3 done, 1 failed, 20 missing"
    assert show.counts_line(Counter(done=0)) == "nothing there yet"


@pytest.mark.parametrize(("seconds", "words"), [(89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")])
def test_durations_are_written_for_people(seconds, words):
    assert hours(seconds) == words


def test_costs_tell_what_is_not_known():
    assert Cost(0, 0, 0, 0).line() == "cost: nothing to run"
    assert Cost(0, 0, 0, 2).line() == "cost: nothing known of 2 runs"
    assert Cost(60, 50, 70, 0).line() == "cost: 60 s of one slot (50 s to 70 s)"
    assert Cost(60, 50, 70, 3).line().endswith(", and nothing known of 3 runs")


def test_a_run_that_ends_is_a_line(tmp_path, runs, capsys, monkeypatch):
    monkeypatch.setattr(show, "read_result", lambda folder: {"metrics": {"train_loss": 1.0, "test_top1": 92.25}})
    display = show.Display(tmp_path, runs)
    with display.open():
        display.report("again", runs[0], Status("stopped", message="killed by SIGSEGV"), 3.0)
        display.report("done", runs[0], Status("done"), 100.0)
        display.report("failed", runs[1], Status("failed", "crashed", "killed by SIGSEGV"), 3.0)
        display.show(Progress(2))  # nothing is drawn where nobody looks
    again, done, failed = capsys.readouterr().out.splitlines()
    label = "digits resnet20 sgd s"
    assert again == f"[0] again    {label}0 killed by SIGSEGV  3 s  {runs[0].id}"
    assert done == f"[1] done     {label}0 test_top1 92.25  2 min  {runs[0].id}"
    assert failed == f"[2] failed   {label}1 crashed killed by SIGSEGV  3 s  {runs[1].id}"


def test_a_line_says_what_its_run_alone_has(tmp_path, capsys):
    lines = [("optimizer=sgd", f"optimizer.lr={lr}", "batch_size=32") for lr in (0.1, 0.01)]
    runs = plan(Wanted("two", tuple(lines), True))
    show.Display(tmp_path, runs).report("failed", runs[1], Status("failed", "error", "x"), 3.0)
    assert (
        capsys.readouterr().out == f"[1] failed   digits resnet18 sgd s0 optimizer.lr=0.01 error x  3 s  {runs[1].id}\n"
    )


def test_on_a_terminal_a_table_stays_below_the_lines(tmp_path, runs, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    display = show.Display(tmp_path, runs)
    with display.open():
        display.show(Progress(2, Counter(done=1), running={runs[1]: 0.0}, waiting=3))
        display.report("failed", runs[0], Status("failed", "error", "[b]not markup[/b]"), 3.0)
        drawn = sys.stdout.getvalue()
        display.show(Progress(2, stopping=True))
        assert sys.stdout.getvalue() == drawn  # too soon to draw again
    assert "1 done of 2; 3 waiting, 0 elsewhere" in drawn
    assert runs[1].id in drawn
    assert "error [b]not markup[/b]" in drawn
    assert sys.stdout.getvalue().endswith("\x1b[2K")  # the table is gone


def test_the_table_shows_epoch_and_loss_of_what_runs(tmp_path, runs, monkeypatch):
    folder = tmp_path / runs[0].folder
    folder.mkdir(parents=True)
    rows = ({"kind": "epoch", "epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 0.123456}, {"probe": "norms"})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(show.time, "monotonic", lambda: 200.0)
    progress = Progress(5, Counter(done=1), dict.fromkeys(runs, 100.0), [runs[0]], 2)
    table = show.Display(tmp_path, runs)._table(progress)
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    text = console.file.getvalue()
    assert "1 done of 5; 2 waiting, 1 elsewhere" in text
    first, second = (next(line for line in text.splitlines() if run.id in line) for run in runs)
    assert [cell.strip() for cell in first.split("│")[1:-1]] == [runs[0].label, "2", "0.1235", "2 min", runs[0].id]
    assert [cell.strip() for cell in second.split("│")[1:-1]] == [runs[1].label, "", "", "2 min", runs[1].id]
    progress.stopping = True
    assert "1 done of 5; stopping" in str(show.Display(tmp_path, runs)._table(progress).title)


def test_a_plan_is_told_in_a_few_lines(runs):
    states = {runs[0].id: Status("done"), runs[1].id: Status("missing")}
    assert show.plan_lines("two", runs, states, "cost: none") == [
        "two: 2 runs, 1 configurations, up to 2 seeds",
        "1 done, 1 missing",
        "cost: none",
    ]
