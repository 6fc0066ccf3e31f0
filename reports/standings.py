"""Rivals over many tasks: mean ranks with a test, and performance profiles of the time to a target."""

from collections.abc import Callable
from math import comb
from pathlib import Path

import numpy as np

from reports import style
from reports.cells import Filled, Result, score
from reports.panels import label_of, name_of, plain, warn
from reports.runs import device
from reports.statistics import ALPHA, friedman, indistinct, performance_profile, ranks, wilcoxon_holm

FEWEST_TASKS = 5  # of a rank diagram (Demsar 2006)


def standings(result: Result, score_of: Callable[[Filled], float | None]) -> tuple[list[str], np.ndarray, list[str]]:
    """Return rivals, their scores [tasks, rivals] over the tasks in which all have one, and the tasks left out."""
    contests = [contest for contest in result.contests() if len(contest) > 1]
    names = list(dict.fromkeys(name_of(cell) for contest in contests for cell in contest))
    rows, left = [], []
    for contest in contests:
        found = {name_of(cell): value for cell in contest if (value := score_of(cell)) is not None}
        if set(found) == set(names):
            rows.append([found[name] for name in names])
        else:
            left.append(" ".join(contest[0].cell.task))
    return names, np.array(rows, float).reshape(len(rows), len(names)), left


def mean_score(cell: Filled) -> float | None:
    """Return a complete cell's mean, higher is better."""
    return score(cell) if cell.complete else None


def time_to_target(cell: Filled) -> float | None:
    """Return a complete cell's median seconds to the target, inf where a seed missed it; None on mixed devices."""
    if not cell.complete or len({device(row) for row in cell.runs}) > 1:
        return None
    times = [row.get("target.reached.seconds") for row in cell.runs]
    return np.inf if None in times else float(np.median(times))


def rank_diagram(result: Result, path: Path) -> list[Path]:
    """Mean ranks over tasks with bars over those that do not differ (Friedman, Wilcoxon-Holm; Demsar 2006)."""
    names, table, left = standings(result, mean_score)
    if len(table) < FEWEST_TASKS or len(names) < 3:
        return []
    mean_ranks, p = ranks(table).mean(0), friedman(table)[1]
    bars = indistinct(list(mean_ranks), wilcoxon_holm(table)) if p < ALPHA else [tuple(range(len(names)))]
    with style.figure(width=2 * style.WIDTH, height=0.7 + 0.22 * len(names)) as (made, axes):
        axis = axes[0, 0]
        for row, index in enumerate(np.argsort(mean_ranks, kind="stable")):
            axis.plot(mean_ranks[index], row, **style.look(names[index]) | {"linestyle": "none"})
            axis.text(mean_ranks[index] + 0.12, row, f"{plain(names[index])}  {mean_ranks[index]:.2f}", va="center")
        for number, bar in enumerate(bars, start=1):
            members = mean_ranks[list(bar)]
            axis.plot([members.min() - 0.05, members.max() + 0.05], [-0.5 * number] * 2, color="black", linewidth=2)
        text = f"mean rank over {len(table)} tasks (1 is best; Friedman p {p:.2g}); bars: no difference found"
        limits = {"xlim": (0.8, len(names) + 1.5), "ylim": (len(names) - 0.5, -0.5 * len(bars) - 0.5)}
        axis.set(yticks=[], xlabel=text + _too_few(len(table), len(names)), **limits)
        dropped = f"{len(left)} tasks left out: not every optimizer is complete" if left else ""
        warn(made, ", ".join(filter(None, [label_of(result), dropped])))
        return style.save(made, path)


def _too_few(tasks: int, rivals: int) -> str:
    """Say when no pair can differ, whatever the scores: the smallest p of Wilcoxon's test, times the pairs."""
    least = 2 / 2**tasks * comb(rivals, 2)
    return (
        ""
        if least < ALPHA
        else f"\nno pair can differ: {tasks} tasks allow no p below {min(1.0, least):.2g} after Holm"
    )


def profile(result: Result, path: Path) -> list[Path]:
    """Performance profile over the time to the target (Dolan and More 2002), where runs have one."""
    names, times, left = standings(result, time_to_target)
    if len(times) < 2 or not np.isfinite(times).any():
        return []
    taus, shares = performance_profile(times)
    taus, shares = np.append(taus, 1.05 * taus[-1]), np.concatenate([shares, shares[-1:]])  # so that the end is seen
    with style.figure() as (made, axes):
        for index, name in enumerate(names):
            look = style.look(name) | {"marker": ""}
            axes[0, 0].step(taus, shares[:, index], where="post", label=plain(name), **look)
        axes[0, 0].set(xlabel="time / best time to the target", ylabel=f"share of {len(times)} tasks", ylim=(0, 1.02))
        axes[0, 0].legend()
        dropped = f"{len(left)} tasks left out" if left else ""
        warn(made, ", ".join(filter(None, [label_of(result), dropped])))
        return style.save(made, path)
