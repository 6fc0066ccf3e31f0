"""Optimizers over all tasks of the store: mean ranks, steps and seconds to the target, width in learning rate.

A task is a data set, a net, a protocol and a scale, measured by one metric. Tables share tasks; a cell with a grid of
rates counts for the sensitivity alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite, log10
from statistics import fmean, geometric_mean, median
from typing import TYPE_CHECKING

import numpy as np

from conf import metrics
from reports import style
from reports.cells import Filled, Result
from reports.compare import main_metric, validation_score
from reports.figures import LR
from reports.layout import DASH, Entry, Grid
from reports.panels import SHARED, shown_as
from reports.runs import Row, Runs, diverged, grouped, proper, scale, settings, synthetic, value, variant
from reports.scores import draw_profile, draw_ranks, mean_score, one_device, time_to_target
from reports.statistics import Scores, ranks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 3  # optimizers, of a task that counts
POINT = 1.0  # percent: how far from the best a learning rate may be
COLUMNS = ("mean rank", "tasks", "steps to target", "seconds to target", "width in learning rate")
Region = tuple[float, float, bool]  # lowest and highest rate within POINT of the best; whether the grid ends there


@dataclass(frozen=True)
class Board:
    """The optimizers of a scale. tasks: by name, the complete cell of each optimizer. regions: of each, one a task."""

    scale: str
    tasks: dict[str, dict[str, Filled]]
    regions: dict[str, list[Region]]

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for cells in self.tasks.values() for name in cells))

    def common(self) -> tuple[list[str], list[str]]:
        """Return the optimizers and the tasks that a ranking compares: as many as can be with none missing."""
        best: tuple[list[str], list[str]] = ([], [])
        by_size = sorted(self.tasks, key=lambda task: -len(self.tasks[task]))
        for count in range(1, len(by_size) + 1):
            kept = by_size[:count]
            names = [name for name in self.names if all(name in self.tasks[task] for task in kept)]
            if len(names) >= FEWEST and len(names) * count > len(best[0]) * len(best[1]):
                best = names, kept
        return best

    def scores(self) -> Scores:
        """Return the means of `common`, [tasks, optimizers], higher is better."""
        names, tasks = self.common()
        means = [[mean_score(self.tasks[task][name]) for name in names] for task in tasks]
        return np.array(means, float).reshape(len(tasks), len(names))

    def times(self, unit: str) -> tuple[list[str], Scores]:
        """Return optimizers and their seconds or steps to the target, [tasks, optimizers], where all have a target.

        unit: "step" or "seconds", which are compared where one device made all runs of a task.
        """
        names, tasks = self.common()
        cells = [[self.tasks[task][name] for name in names] for task in tasks]
        rows = [[time_to_target(cell, unit) for cell in task] for task in cells if unit == "step" or one_device(task)]
        known = [row for row in rows if None not in row and any(isfinite(time or inf) for time in row)]
        return names, np.array(known, float).reshape(len(known), len(names))


def boards(results: Sequence[Result], runs: Runs) -> list[Board]:
    """Return the boards of the scales that have a task with enough optimizers; no smoke, no synthetic data."""
    tasks: dict[str, dict[str, dict[str, Filled]]] = {}
    for result in results:
        if result.scale == "smoke" or not result.table.has_runs:
            continue
        for cell in (cell for cell in result.cells if cell.complete and LR not in cell.cell.coordinates):
            row = cell.runs[0]
            if not synthetic(row) and cell.cell.metric == main_metric(cell.runs):
                at = tasks.setdefault(result.scale, {}).setdefault(_task(row), {})
                at.setdefault(variant(row), cell)
    kept = {at: {name: cells for name, cells in found.items() if len(cells) >= FEWEST} for at, found in tasks.items()}
    own = {at: [row for row in runs.rows if _task(row) in found] for at, found in kept.items()}
    return [Board(at, found, regions(own[at])) for at, found in kept.items() if found]


def _task(row: Row) -> str:
    return f"{row['data']} {row['model']} {row.get('labels.protocol')}"


def regions(rows: Sequence[Row]) -> dict[str, list[Region]]:
    """Return, for each optimizer, the rates within one point of its best, a region a task with three rates or more.

    At each rate the best weight decay counts, by validation images where the runs have some.
    """
    groups = grouped(
        ((variant(row), settings(row, without=(LR, "optimizer.weight_decay"))), row)
        for row in rows
        if scale(row) != "smoke" and _rate(row) > 0 and not synthetic(row)
    )
    found: dict[str, list[Region]] = {}
    for (name, _), members in groups.items():
        scores = _by_rate(members)
        if len(scores) > 2 and metrics.metric(main_metric(members)).unit == "%":
            found.setdefault(name, []).append(region(scores))
    return found


def _rate(row: Row) -> float:
    """Return a run's learning rate, 0 where there is none, or no number: a class of anyone's may take a text."""
    found = row.get(f"config.{LR}")
    return float(found) if isinstance(found, int | float) else 0.0


def _by_rate(rows: Sequence[Row]) -> dict[float, float]:
    """Return the best score at each rate; rates at which a seed diverged, or nothing was measured, are far from any."""
    metric = main_metric(rows)
    scores: dict[float, float] = {}
    for members in grouped((str(row["group_id"]), row) for row in rows).values():
        rate = _rate(members[0])
        scores[rate] = max(scores.get(rate, -inf), _score(members, metric))
    return scores


def _score(rows: Sequence[Row], metric: str) -> float:
    by_validation = validation_score(rows, metric)
    tested = [value(row, metric) for row in rows if not diverged(row) and isfinite(value(row, metric))]
    return by_validation if isfinite(by_validation) else fmean(tested) if len(tested) == len(rows) else -inf


def region(scores: dict[float, float]) -> Region:
    """Return the rates around the best that score within POINT of it; between two of the grid, by interpolation."""
    rates = sorted(scores)
    best = max(rates, key=lambda rate: scores[rate])
    floor = scores[best] - POINT
    ends = [_crossing([rate for rate in way if (rate - best) * sign >= 0], scores, floor)
            for sign, way in ((-1, rates[::-1]), (1, rates))]  # fmt: skip
    return ends[0], ends[1], ends[0] == rates[0] or ends[1] == rates[-1]


def _crossing(rates: Sequence[float], scores: dict[float, float], floor: float) -> float:
    """Return where the scores, from the first rate on, fall below a floor, on a logarithmic axis, or the last."""
    for inner, outer in pairwise(rates):
        if scores[outer] < floor:
            share = (scores[inner] - floor) / (scores[inner] - scores[outer]) if isfinite(scores[outer]) else 0.0
            return float(10 ** (log10(inner) + share * (log10(outer) - log10(inner))))
    return rates[-1]


def grid(board: Board) -> Grid:
    """Return the board as a table, the best mean rank first."""
    names, tasks = board.common()
    mean_ranks = dict(zip(names, ranks(board.scores()).mean(0), strict=True)) if names else {}
    rows = sorted({*board.names, *board.regions}, key=lambda name: (mean_ranks.get(name, inf), name))
    ratios = {unit: _ratios(*board.times(unit)) for unit in ("step", "seconds")}
    entries: dict[tuple[str, str], Entry] = {}
    for name in rows:
        done = sum(name in cells for cells in board.tasks.values())
        texts = (
            f"{mean_ranks[name]:.2f}" if name in mean_ranks else DASH,
            str(done),
            *(ratios[unit].get(name, DASH) for unit in ("step", "seconds")),
            _width(board.regions.get(name, [])),
        )
        entries |= {(proper(name), key): Entry(mean=text) for key, text in zip(COLUMNS, texts, strict=True)}
    said = [
        f"Mean rank over what all {len(names)} ranked optimizers have run: {'; '.join(tasks)}."
        if names
        else "No ranking: no three optimizers share a task.",
        "To the target: over the fastest optimizer's, geometric mean over tasks; how many reached it, where not all.",
        "Width: decades of learning rate within one point of the best, median over tasks; ≥ where a grid ends.",
        *([f"Seconds: {SHARED}."] if any(row.get("shared") for row in _rows(board)) else []),
        "Tasks that share a data set are not independent.",
    ]
    title = f"Optimizers over tasks, scale {board.scale}"
    return Grid(f"leaderboard@{board.scale}", title, "", list(map(proper, rows)), list(COLUMNS), entries, said)


def _rows(board: Board) -> list[Row]:
    return [row for cells in board.tasks.values() for cell in cells.values() for row in cell.runs]


def _ratios(names: list[str], times: Scores) -> dict[str, str]:
    if not len(times):
        return {}
    relative = times / times.min(1, keepdims=True)
    found = {}
    for name, column in zip(names, relative.T, strict=True):
        reached = column[np.isfinite(column)]
        missed = f" ({len(reached)} of {len(column)})" if len(reached) < len(column) else ""
        found[name] = f"{geometric_mean(reached):.2f}{missed}" if len(reached) else f"never (of {len(column)})"
    return found


def _width(found: list[Region]) -> str:
    widths = [log10(high / low) for low, high, _ in found]
    at_least = "≥ " if any(open_ended for *_, open_ended in found) else ""
    return f"{at_least}{median(widths):.2f}" if widths else DASH


def figures(board: Board) -> "Iterator[tuple[str, str, Figure]]":
    """Yield the board's figures: ending of a file's name, caption, figure."""
    for made in draw_ranks(board.common()[0], board.scores()):
        yield "ranks", "Mean ranks over tasks", made
    for unit, what in (("step", "steps"), ("seconds", "time")):
        for made in draw_profile(*board.times(unit), what):
            yield f"profile_{what}", f"Performance profile of the {what} to the target", made
    for made in _draw_regions(board):
        yield "rates", "Learning rates within one point of the best, a line a task", made


def _draw_regions(board: Board) -> "Iterator[Figure]":
    names = sorted(board.regions, key=lambda name: -median(log10(b / a) for a, b, _ in board.regions[name]))
    if not names:
        return
    with style.figure(width=1.5 * style.WIDTH, height=1.0 + 0.2 * len(names)) as (made, ((axis,),)):
        for place, name in enumerate(names):
            found = board.regions[name]
            heights = place + np.linspace(-0.25, 0.25, len(found)) if len(found) > 1 else np.array([float(place)])
            lows, highs = np.array([entry[:2] for entry in found]).T
            axis.hlines(heights, lows, highs, color=style.look(name)["color"], linewidth=2.5)
        axis.set(xscale="log", xlabel="learning rate", ylim=(len(names) - 0.5, -0.5))
        axis.set_yticks(range(len(names)), list(map(shown_as, names)))
        yield made
