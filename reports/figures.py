"""All figures of filled tables, and those of a grid: sensitivity, tuning, heat maps, range tests."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from papers.table import METRICS
from reports import style
from reports.cells import Filled, Result, better, score
from reports.layout import fixed
from reports.logged import bars, by_layer, curve, curves
from reports.panels import Groups, Panels, Plot, has_axis, name_of, shown_as, tasks
from reports.runs import Row, grouped
from reports.scores import profile, rank_diagram
from reports.statistics import expected_best

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LR, DECAY = "optimizer.lr", "optimizer.weight_decay"


def _rates(axis: "Axes", cells: list[Filled]) -> bool:
    """Draw the metric over the learning rate, a line an optimizer."""
    for name, members in grouped((name_of(cell, LR), cell) for cell in cells).items():
        points = sorted((float(c.cell.coordinates[LR]), c.summary.mean, c.summary.std) for c in members)
        x, mean, std = np.array(points).T
        axis.errorbar(x, mean, np.nan_to_num(std), label=shown_as(name), capsize=2, **style.look(name))
    axis.set(xscale="log", xlabel="learning rate", ylabel=METRICS[cells[0].cell.metric]["short"])
    return True


def _tuning(axis: "Axes", cells: list[Filled]) -> bool:
    """Draw what k tuning trials are worth: the expected best of k of the settings tried, for each optimizer."""
    known = [cell for cell in cells if np.isfinite(cell.summary.mean)]
    for name, members in grouped((name_of(cell, LR, DECAY), cell) for cell in known).items():
        counts, scores = range(1, len(members) + 1), list(map(score, members))
        best = [better(cells[0].cell.metric) * expected_best(scores, k) for k in counts]
        axis.plot(counts, best, label=shown_as(name), **style.look(name))
    axis.set(xlabel="tuning trials", ylabel=f"expected best {METRICS[cells[0].cell.metric]['short']}")
    return bool(known)


def _heat(axis: "Axes", cells: list[Filled]) -> bool:
    """Draw the metric over learning rate and weight decay."""
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


def _range_test(axis: "Axes", cells: list[Filled]) -> bool:
    """Draw the loss of each step over its learning rate, of runs of `schedule=range_test` with `log.every_steps`.

    Runs that diverged are drawn as far as they came. The rate rises exponentially: two epochs tell it at every step.
    """
    lines = []
    for name, row in [(name_of(cell), row) for cell in cells for row in cell.runs if _is_range_test(row)]:
        steps, epochs = curve(row, "step"), curve(row)
        if "loss" in steps and len(epochs.get("lr", [])) > 1:
            slope, start = np.polyfit(epochs["step"], np.log(epochs["lr"]), 1)
            look = style.look(name, len(steps["loss"]))
            rate = np.exp(start + slope * steps["step"])
            lines += axis.plot(rate, steps["loss"], label=shown_as(name), **look)
    axis.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="training loss")
    return bool(lines)


def _is_range_test(row: Row) -> bool:
    return row.get("config.schedule.name") == "range_test"


def _each(result: Result) -> Groups:
    """Group the cells by optimizer and task."""
    by_task = [(task, cell) for task, cells in tasks(result).items() for cell in cells]
    return grouped((f"{shown_as(name_of(cell, LR, DECAY))}, {task}", cell) for task, cell in by_task)


rates = Panels(_rates, when=lambda result: has_axis(result, LR) and not has_axis(result, DECAY))
tuning = Panels(_tuning, when=lambda result: has_axis(result, LR))
heat_map = Panels(_heat, when=lambda result: has_axis(result, LR, DECAY), groups=_each, legend=False)
range_test = Panels(_range_test, when=lambda result: any(map(_is_range_test, result.runs)))


SEEDS = ", mean and one standard deviation over seeds"
LAYERS = " by layer, first layer darkest, first seed"
MIB = 2.0**20
SCORES = (
    "test_attacked_top1",
    "test_top1",
    "test_accuracy",
    "test_auc",
    "validation_top1",
    "validation_accuracy",
    "test_loss",
)
# The figures of the page: the ending of a figure's file, its caption, and what draws it.
MAIN: dict[str, tuple[str, Plot]] = {
    "sensitivity": ("Sensitivity to the learning rate, with one standard deviation over seeds", rates),
    "score": ("Score by epoch" + SEEDS, curves(*SCORES)),
    "train_loss": ("Training loss" + SEEDS, curves("train_loss")),
    "time": ("Score against training time", curves(*SCORES, against="seconds", xlabel="seconds of training")),
    "layer_ranks": ("Stable rank" + LAYERS, by_layer("ranks", "stable_rank", "stable rank")),
    "layer_rates": ("Learning rate" + LAYERS, by_layer("ranks", "rate", "learning rate")),
    "layer_effective": (
        "Learning rate on the sphere" + LAYERS,
        by_layer("spherical", "rate", "learning rate on the sphere"),
    ),
    "epoch_time": (
        "Seconds an epoch, median and range over seeds, on one device",
        bars("time.epoch_seconds.median", "seconds an epoch", 1.0),
    ),
    "range_test": ("Training loss by learning rate, which rises at every step, a line a seed", range_test),
    "tuning": ("Expected best of k tuning trials", tuning),
    "heat": ("Sensitivity to learning rate and weight decay", heat_map),
    "ranks": ("Mean ranks over tasks", rank_diagram),
    "profile": ("Performance profile of the time to the target", profile),
}
FIGURES = MAIN | {
    "test_loss": ("Test loss" + SEEDS, curves("test_loss")),
    "train_top1": ("Training accuracy" + SEEDS, curves("train_top1")),
    "step_loss": ("Training loss by step" + SEEDS, curves("loss", against="step", xlabel="step", kind="step")),
    "rate": ("Learning rate", curves("lr")),
    "memory": ("Peak memory, on one device", bars("memory.peak_bytes", "peak memory (MiB)", MIB)),
    "state": ("Memory of the optimizer's state", bars("memory.optimizer_bytes", "optimizer state (MiB)", MIB)),
}


def draw(result: Result, out: Path) -> list[Path]:
    """Draw every figure that a result can fill to <out>/figures; returns the files."""
    if not any(cell.runs for cell in result.cells):
        return []
    made = (
        (out / "figures" / f"{result.stem}-{name}", figure)
        for name, (_, plot) in FIGURES.items()
        for figure in plot(result)
    )
    return [file for path, figure in made for file in style.save(figure, path)]
