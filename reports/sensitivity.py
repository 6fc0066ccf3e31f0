"""How much the learning rate and the weight decay matter: lines and heat maps, for tables with these axes."""

from pathlib import Path
from typing import Any

import numpy as np

from papers.table import METRICS
from reports import style
from reports.cells import Filled, Result, better, score
from reports.layout import fixed
from reports.panels import has_axis, name_of, panels, plain, tasks
from reports.statistics import expected_best

LR, DECAY = "optimizer.lr", "optimizer.weight_decay"


def rates(result: Result, path: Path) -> list[Path]:
    """Lines of the metric over the learning rate, one for each optimizer."""

    def draw(axis: Any, cells: list[Filled]) -> bool:
        lines: dict[str, list[Filled]] = {}
        for cell in cells:
            lines.setdefault(name_of(cell, LR), []).append(cell)
        for name, members in lines.items():
            points = sorted((float(c.cell.coordinates[LR]), c.summary.mean, c.summary.std) for c in members)
            x, mean, std = map(np.array, zip(*points, strict=True))
            axis.errorbar(x, mean, np.nan_to_num(std), label=plain(name), capsize=2, **style.look(name))
        axis.set(xscale="log", xlabel="learning rate", ylabel=METRICS[cells[0].cell.metric]["short"])
        return True

    return panels(result, path, tasks(result), draw) if has_axis(result, LR) and not has_axis(result, DECAY) else []


def tuning(result: Result, path: Path) -> list[Path]:
    """What k tuning trials are worth: the expected best of k of the settings tried, for each optimizer."""

    def draw(axis: Any, cells: list[Filled]) -> bool:
        trials: dict[str, list[float]] = {}
        for cell in cells:
            if np.isfinite(cell.summary.mean):
                trials.setdefault(name_of(cell, LR, DECAY), []).append(score(cell))
        for name, scores in trials.items():
            counts = range(1, len(scores) + 1)
            best = [better(cells[0].cell.metric) * expected_best(scores, k) for k in counts]
            axis.plot(counts, best, label=plain(name), **style.look(name))
        axis.set(xlabel="tuning trials", ylabel=f"expected best {METRICS[cells[0].cell.metric]['short']}")
        return bool(trials)

    return panels(result, path, tasks(result), draw) if has_axis(result, LR) else []


def heat_map(result: Result, path: Path) -> list[Path]:
    """The metric over learning rate and weight decay: one panel for each optimizer and task."""
    if not has_axis(result, LR, DECAY):
        return []
    groups: dict[str, list[Filled]] = {}
    for task, cells in tasks(result).items():
        for cell in cells:
            groups.setdefault(f"{cell.cell.coordinates.get('optimizer', '')}, {task}", []).append(cell)
    return panels(result, path, groups, _heat, legend=False)


def _heat(axis: Any, cells: list[Filled]) -> bool:
    places = [tuple(float(cell.cell.coordinates[key]) for key in (DECAY, LR)) for cell in cells]
    levels = [sorted(set(column)) for column in zip(*places, strict=True)]
    grid = np.full([len(level) for level in levels], np.nan)
    for cell, (decay, lr) in zip(cells, places, strict=True):
        row, column = levels[0].index(decay), levels[1].index(lr)
        grid[row, column] = cell.summary.mean
        text = fixed(cell.summary.mean, cell.cell.metric)
        axis.text(column, row, text, ha="center", va="center", fontsize=6)
    axis.imshow(grid, cmap="cividis" if better(cells[0].cell.metric) > 0 else "cividis_r", aspect="auto", alpha=0.6)
    axis.set_yticks(range(len(levels[0])), [f"{level:g}" for level in levels[0]])
    axis.set_xticks(range(len(levels[1])), [f"{level:g}" for level in levels[1]], rotation=60)
    axis.grid(visible=False)
    axis.set(ylabel="weight decay", xlabel="learning rate")
    return True
