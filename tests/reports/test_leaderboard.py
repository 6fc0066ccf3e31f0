"""The leaderboard over tasks: what is ranked, times to the target, and widths in learning rate."""

from math import inf, log10

import pytest

from reports import leaderboard, panels
from reports.cells import Result
from reports.runs import Row, Runs, read
from tests.reports import synthetic
from tests.reports.test_page import count, drawn

MEANS = {"rmsgd": 95.0, "sgd": 94.0, "adam": 93.0}


def board(*results: Result) -> leaderboard.Board:
    runs = Runs([row for result in results for row in result.runs])
    (found,) = leaderboard.boards(results, runs)
    return found


def test_optimizers_are_ranked_over_the_tasks_that_all_have() -> None:
    found = board(drawn(MEANS, seeds=2))
    shown = leaderboard.grid(found)
    assert shown.rows == ["RMSGD", "SGD", "Adam"]
    assert [shown.entries[name, "mean rank"].main for name in shown.rows] == ["1.00", "2.00", "3.00"]
    assert shown.entries["SGD", "tasks"].main == "6"


def test_tables_that_share_a_task_count_it_once() -> None:
    result = drawn(MEANS, seeds=2)
    assert leaderboard.grid(board(result, result)) == leaderboard.grid(board(result))


def test_a_further_optimizer_of_few_tasks_is_listed_and_not_ranked() -> None:
    few = drawn(MEANS | {"sam": 99.0}, seeds=2, rows={"data": "cifar10", "model": ["net0"]})
    shown = leaderboard.grid(board(drawn(MEANS, seeds=2), few))
    assert shown.rows[-1] == "SAM"
    assert shown.entries["SAM", "mean rank"].main == "–"


def test_times_are_over_the_fastest_and_say_who_missed_the_target() -> None:
    result = drawn(MEANS, seeds=2)
    for row in result.runs:
        row["target.reached.step"] = {"rmsgd": 10, "sgd": 20}.get(row["optimizer"])
    shown = leaderboard.grid(board(result))
    texts = [shown.entries[name, "steps to target"].main for name in ("RMSGD", "SGD", "Adam")]
    assert texts == ["1.00", "2.00", "never (of 6)"]


def test_a_run_without_a_target_missed_none() -> None:
    result = drawn(MEANS, seeds=2)
    for row in result.runs:
        row["target.metric"] = None if row["optimizer"] == "adam" else "top1"
    assert len(board(result).times("step")[1]) == 0


def test_seconds_of_several_devices_are_not_compared() -> None:
    result = drawn(MEANS, seeds=2)
    for row in result.runs:
        row |= {"target.reached.step": 10, "target.reached.seconds": 5.0, "machine.cpu": "one"}
    assert [len(board(result).times(unit)[1]) for unit in ("step", "seconds")] == [6, 6]
    for row in result.runs:
        row["machine.cpu"] = row["optimizer"]
    assert [len(board(result).times(unit)[1]) for unit in ("step", "seconds")] == [6, 0]


def test_a_figures_times_are_of_the_device_with_most_runs() -> None:
    result = drawn(MEANS, seeds=2)
    for row in result.runs:
        row["machine.cpu"] = "fast" if row["optimizer"] == "adam" else "slow"
    counts, said = panels.timed(result)
    assert {row["optimizer"] for row in result.runs if counts(row)} == {"rmsgd", "sgd"}
    assert said == "times on slow alone"


def test_smoke_and_synthetic_data_are_on_no_board() -> None:
    result = drawn(MEANS, seeds=2)
    for row in result.runs:
        row["config.data.stand_in"] = 16
    assert leaderboard.boards([result], Runs(result.runs)) == []


def test_the_width_is_where_scores_are_within_one_point_of_the_best() -> None:
    assert leaderboard.region({0.01: 90.0, 0.1: 92.0, 1.0: 90.0}) == (
        pytest.approx(10**-1.5), pytest.approx(10**-0.5), False,
    )  # fmt: skip
    low, high, ends = leaderboard.region({0.01: 91.5, 0.1: 92.0, 1.0: -inf})
    assert (low, high, ends) == (0.01, 0.1, True)
    assert log10(high / low) == pytest.approx(1.0)


def test_regions_come_from_all_runs_that_differ_in_rate_alone() -> None:
    def run(rate: object, score: float, seed: int = 0, **more: object) -> Row:
        row: Row = {"optimizer": "sgd", "data": "a", "model": "b", "state": "done", "seed": seed, "group_id": str(rate)}
        config = {"config.seed": seed, "config.optimizer.lr": rate, "config.data.name": "a"}
        return row | config | {"metrics.test_top1": score} | more

    rows = [run(0.01, 90.0), run(0.1, 92.0), run(1.0, 90.0)]
    assert leaderboard.regions(rows)["sgd"][0][:2] == (pytest.approx(10**-1.5), pytest.approx(10**-0.5))
    judged = [row | {"metrics.validation_top1": row["config.optimizer.lr"]} for row in rows]
    assert leaderboard.regions(judged)["sgd"][0][1] == 1.0  # by validation, where there is some
    assert leaderboard.regions(rows[:2]) == {}
    fell = [*rows, run(1.0, 92.0, seed=1, state="diverged")]
    assert leaderboard.regions(fell)["sgd"][0][1] == 0.1  # whatever its last epoch scored
    assert leaderboard.regions([*rows, run(-1.0, 99.0), run("x", 99.0)]) == leaderboard.regions(rows)


def test_the_figures_of_a_board_are_drawn() -> None:
    captions = [caption for _, caption, _ in leaderboard.figures(board(drawn(MEANS, seeds=2)))]
    assert captions[0] == "Mean ranks over tasks"
    assert count(captions) == 3  # and two profiles; no grid of rates


def test_runs_that_overlap_on_a_machine_shared_it() -> None:
    def run(name: str, started: float, finished: float, cpu: str = "x") -> Row:
        return {"id": name, "group_id": "g", "seed": 0, "started": started, "finished": finished, "machine.cpu": cpu}

    rows = Runs([run("a", 1, 9), run("b", 2, 3), run("c", 4, 5), run("d", 9, 12), run("e", 4, 5, "y")]).rows
    assert [row["id"] for row in rows if row.get("shared")] == ["a", "b", "c"]
    stopped = run("f", 1, 9) | {"spans": [[1, 2], [8, 9]]}  # and went on when the others were over
    rows = Runs([stopped, run("g", 3, 4), run("h", 5, 8.5)]).rows
    assert [row["id"] for row in rows if row.get("shared")] == ["f", "h"]


def test_several_stores_are_read_as_one() -> None:
    once, twice = read(synthetic.STORE), read(synthetic.STORE, synthetic.STORE)
    assert len(once.rows) == len(twice.rows) == 20
