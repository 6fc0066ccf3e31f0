"""Optimizers compared over tasks: their scores, or times to the target, as a rank diagram and a performance profile."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import comb, inf
from typing import TYPE_CHECKING

import numpy as np

from reports import style
from reports.cells import Filled, Result, score
from reports.panels import add_legend, name_of, note, shown_as, timed
from reports.runs import device
from reports.statistics import ALPHA, Scores, friedman, ranks, wilcoxon_holm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST_TASKS = 5  # of a rank diagram (Demsar 2006)
# Optimizers, their scores [tasks, optimizers] where all have one, and the tasks where one has none.
Table = tuple[list[str], Scores, list[str]]


def scores_by_task(groups: Sequence[Sequence[Filled]], score_of: Callable[[Filled], float | None]) -> Table:
    """Return what is compared over tasks. groups: the cells of each task."""
    several = [group for group in groups if len(group) > 1]
    names = list(dict.fromkeys(name_of(cell) for group in several for cell in group))
    rows, left = [], []
    for group in several:
        found = {name_of(cell): value for cell in group if (value := score_of(cell)) is not None}
        if set(found) == set(names):
            rows.append([found[name] for name in names])
        else:
            left.append(" ".join(group[0].cell.task))
    return names, np.array(rows, float).reshape(len(rows), len(names)), left


def mean_score(cell: Filled) -> float | None:
    """Return a complete cell's mean, higher is better."""
    return score(cell) if cell.complete else None


def time_to_target(cell: Filled, unit: str = "seconds") -> float | None:
    """Return a complete cell's median seconds (or steps) to the target, inf where a seed missed it; None without."""
    if not cell.complete or any(row.get("target.metric") is None for row in cell.runs):
        return None
    times = [row.get(f"target.reached.{unit}") for row in cell.runs]
    return np.inf if None in times else float(np.median(np.array(times, float)))


def one_device(cells: Iterable[Filled]) -> bool:
    """Tell whether one device made all runs of the cells: only then are their seconds compared."""
    return len({device(row) for cell in cells for row in cell.runs}) < 2


def rank_diagram(result: Result) -> "Iterator[Figure]":
    """Mean ranks over the tasks of a table, see `draw_ranks`."""
    names, table, left = scores_by_task(result.groups(), mean_score)
    for made in draw_ranks(names, table):
        note(made, result, f"{len(left)} tasks left out: not every optimizer is complete" if left else "")
        yield made


def draw_ranks(names: list[str], table: Scores) -> "Iterator[Figure]":
    """Draw mean ranks over tasks, with bars over those that do not differ (Friedman, Wilcoxon-Holm; Demsar 2006)."""
    if len(table) < FEWEST_TASKS or len(names) < 3:
        return
    from pandas import DataFrame
    from scikit_posthocs import critical_difference_diagram

    p, labels = friedman(table)[1], list(map(shown_as, names))
    pairs = wilcoxon_holm(table) if p < ALPHA else np.ones((len(names), len(names)))
    with style.figure(width=2 * style.WIDTH, height=1.0 + 0.15 * len(names)) as (made, axes):
        critical_difference_diagram(
            dict(zip(labels, ranks(table).mean(0), strict=True)),
            DataFrame(pairs, labels, labels),
            ax=axes[0, 0],
            color_palette={label: style.look(name)["color"] for label, name in zip(labels, names, strict=True)},
            label_fmt_left="{label}  {rank:.2f} ",
            label_fmt_right=" {rank:.2f}  {label}",
            text_h_margin=0.02 * len(names),
        )
        axes[0, 0].spines["top"].set_visible(True)
        text = f"mean rank over {len(table)} tasks (1 is best; Friedman p {p:.2g}); bars: no difference found"
        axes[0, 0].set_xlabel(text + _too_few(len(table), len(names)))
        axes[0, 0].grid(visible=False)
        yield made


def _too_few(tasks: int, optimizers: int) -> str:
    """Tell when no pair can differ, whatever the scores: the smallest p of Wilcoxon's test, times the pairs."""
    least = 2 / 2**tasks * comb(optimizers, 2)
    text = f"\nno pair can differ: {tasks} tasks allow no p below {min(1.0, least):.2g} after Holm"
    return "" if least < ALPHA else text


def profile(result: Result) -> "Iterator[Figure]":
    """Performance profile over the time to the target, where runs have one; see `draw_profile`."""
    groups = result.groups()
    alike = [group for group in groups if one_device(group)]
    names, times, left = scores_by_task(alike, time_to_target)
    left += [" ".join(group[0].cell.task) for group in groups if group not in alike]
    for made in draw_profile(names, times, "time"):
        note(made, result, f"{len(left)} tasks left out" if left else "", timed(result)[1])
        yield made


def draw_profile(names: list[str], times: Scores, what: str) -> "Iterator[Figure]":
    """Draw the share of tasks that each optimizer solves within tau times the best (Dolan and More 2002)."""
    if len(times) < 2 or not np.isfinite(times).any():
        return
    taus, shares = performance_profile(times)
    taus, shares = np.append(taus, 1.05 * taus[-1]), np.concatenate([shares, shares[-1:]])  # so that the end is seen
    with style.figure(width=1.5 * style.WIDTH) as (made, axes):
        for index, name in enumerate(names):
            look = style.look(name) | {"marker": ""}
            axes[0, 0].step(taus, shares[:, index], where="post", label=shown_as(name), **look)
        axes[0, 0].set(xlabel=f"{what} / best {what} to the target", ylim=(0, 1.02))
        axes[0, 0].set_ylabel(f"share of {len(times)} tasks")
        add_legend(made)
        yield made


def performance_profile(times: Scores) -> tuple[Scores, Scores]:
    """Return ratios tau [points] and, for each optimizer, the share of tasks it solves within tau times the best.

    times: [tasks, optimizers] until the target, inf where it was never reached (Dolan and More 2002). Shares: [points,
    optimizers]. A task that nobody solves counts as unsolved for all.
    """
    best = times.min(1, keepdims=True)
    ratios = np.where(np.isfinite(times), times / np.where(np.isfinite(best), best, 1.0), inf)
    taus = np.unique(np.concatenate([[1.0], ratios[np.isfinite(ratios)]]))
    return taus, (ratios[None] <= taus[:, None, None]).mean(1)
