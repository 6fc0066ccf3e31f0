"""One panel a task: what the runs wrote (curves, bars, lines of layers), and what all figures of a table share."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from papers.table import METRICS
from record import read_lines
from reports import style
from reports.cells import Filled, Result
from reports.runs import Row, device, diverged, grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Curve = dict[str, Array]  # column -> values by epoch
Draw = Callable[["Axes", list[Filled]], bool]  # draws the cells of a task; False where there is nothing to show
Plot = Callable[[Result, Path], list[Path]]  # writes a figure to a path without ending; returns the files, or none
SIDE = 4  # panels side by side
LINE = 0.15  # inches of a legend's line


def label_of(result: Result, *more: str) -> str:
    """Return what every figure notes about a result that is no rerun of the paper, and what else is to be noted."""
    scale = "" if result.scale == "paper" else f"scale {result.scale}"
    kinds = ["synthetic data" if result.synthetic else "", "re-creation" if result.table.spec["recreation"] else ""]
    return ", ".join(filter(None, [scale, *kinds, *more]))


def name_of(cell: Filled, *without: str) -> str:
    """Return the optimizer's name with the values, but those `without`, that tell it from others of its name."""
    place = cell.cell.coordinates
    more = [str(value) for key, value in place.items() if key.startswith("optimizer.") and key not in without]
    return " ".join([str(place.get("optimizer", "")), *more]).strip()


def plain(text: str) -> str:
    """Keep matplotlib from reading a name as a formula."""
    return text.replace("$", r"\$")


def has_axis(result: Result, *keys: str) -> bool:
    """Tell whether the cells that have runs differ in every one of these coordinates."""
    return all(len({str(c.cell.coordinates.get(key)) for c in result.cells if c.runs}) > 1 for key in keys)


def tasks(result: Result) -> dict[str, list[Filled]]:
    """Group the cells that have runs by data set and net; of several metrics of the same runs the first."""
    first = {cell.cell.overrides: cell for cell in reversed(result.cells) if cell.runs}
    return grouped((_task(cell), cell) for cell in result.cells if cell is first.get(cell.cell.overrides))


def _task(cell: Filled) -> str:
    place = cell.cell.coordinates
    apart = [f"{k.split('.')[-1]} {v}" for k, v in place.items() if k.startswith("budget.")]
    return " ".join([*(str(place[k]) for k in ("data", "model") if k in place), *apart])


def panels(result: Result, path: Path, groups: dict[str, list[Filled]], draw: Draw, legend: bool = True) -> list[Path]:
    """Draw one panel for each group of cells; returns nothing when no panel has anything to show."""
    if not groups:
        return []
    columns = min(SIDE, len(groups))
    with style.figure(columns, -(-len(groups) // columns)) as (made, axes):
        shown = [draw(axis, cells) for axis, cells in zip(axes.flat, groups.values(), strict=False)]
        if not any(shown):
            return []
        for axis, title, drawn in zip(axes.flat, groups, shown, strict=False):
            axis.set_title(plain(title or result.table.title))
            axis.set_visible(drawn)
        for axis in axes.flat[len(groups) :]:
            axis.set_visible(False)
        keys = [zip(*axis.get_legend_handles_labels(), strict=True) for axis in axes.flat]
        found = {label: line for key in keys for line, label in key}
        if legend and found:
            across = min(2 * columns, len(found))  # 1.7 inches a name
            made.set_figheight(made.get_figheight() + LINE * -(-len(found) // across))
            made.legend(found.values(), found.keys(), loc="outside lower center", ncols=across)
        warn(made, label_of(result))
        return style.save(made, path)


def warn(made: "Figure", text: str) -> None:
    """Write a label above a figure, in red; nothing for an empty one."""
    if text:
        made.suptitle(text, fontsize=7, color=style.HUES["red"])


def curve(row: Row) -> Curve:
    """Read a run's epoch rows as columns; of a repeated epoch the last line counts, a torn line is left out."""
    return _curve(row["folder"], row.get("id"))


@lru_cache(maxsize=4096)  # every figure of a table reads the same runs
def _curve(folder: str, _: str | None) -> Curve:
    lines = read_lines(Path(folder) / "metrics.jsonl")[0]
    epochs = {line["epoch"]: line for line in lines if line.get("kind") == "epoch" and "epoch" in line}
    ordered = [epochs[epoch] for epoch in sorted(epochs)]
    names = {name for line in ordered for name, value in line.items() if isinstance(value, int | float)}
    return {name: np.array([_number(line.get(name)) for line in ordered]) for name in names}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def band(found: list[Curve], column: str, against: str = "epoch") -> tuple[Array, Array, Array]:
    """Return abscissa, mean and standard deviation over seeds of a column, up to the shortest curve."""
    have = [c for c in found if column in c and against in c]
    length = min((len(c[column]) for c in have), default=0)
    if not length:
        return np.empty(0), np.empty(0), np.empty(0)
    x, stacked = (np.stack([c[key][:length] for c in have]) for key in (against, column))
    return x.mean(0), stacked.mean(0), stacked.std(0, ddof=1) if len(have) > 1 else np.zeros(length)


def curves(column: str, against: str = "epoch", xlabel: str = "epoch") -> Plot:
    """Return a figure of a column of the epochs: mean and one standard deviation over seeds (RMSGD, Figures 7-14)."""

    def draw(axis: "Axes", cells: list[Filled]) -> bool:
        from matplotlib.ticker import MaxNLocator

        drawn = False
        for cell in cells:
            x, mean, std = band([curve(row) for row in cell.runs if not diverged(row)], column, against)
            seen = np.isfinite(mean)  # a net may be evaluated every few epochs only
            if seen.any():
                x, mean, std, looks = x[seen], mean[seen], std[seen], style.look(name_of(cell), seen.sum())
                axis.plot(x, mean, label=plain(name_of(cell)), **looks)
                axis.fill_between(x, mean - std, mean + std, color=looks["color"], alpha=0.15, linewidth=0)
                drawn = True
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axis.set(xlabel=xlabel, ylabel=METRICS.get(column, {}).get("short", column))
        return drawn

    # With a learning rate on every line, the colours of optimizers would all be one; figures.rates draws these.
    return lambda result, path: [] if has_axis(result, "optimizer.lr") else panels(result, path, tasks(result), draw)


def bars(field: str, label: str, unit: float) -> Plot:
    """Return a figure of bars of a field of the runs: median and range over seeds, on the device with most runs."""

    def draw(axis: "Axes", cells: list[Filled]) -> bool:
        rows = [(name_of(cell), row) for cell in cells for row in cell.runs if row.get(field) is not None]
        machines = [device(row) for _, row in rows]
        if not machines:
            return False
        machine = max(sorted(set(machines)), key=machines.count)
        here = grouped((name, row[field] / unit) for name, row in rows if device(row) == machine)
        middles = np.array([np.median(values) for values in here.values()])
        ends = np.array([[min(values), max(values)] for values in here.values()]).T
        colours = [style.look(name)["color"] for name in here]
        axis.bar(range(len(here)), middles, color=colours, yerr=np.abs(ends - middles), error_kw={"linewidth": 0.8})
        axis.set_xticks(range(len(here)), list(map(plain, here)), rotation=60, ha="right")
        axis.set(ylabel=label, xlabel=machine)
        return True

    def figure(result: Result, path: Path) -> list[Path]:
        return [] if has_axis(result, "optimizer.lr") else panels(result, path, tasks(result), draw, legend=False)

    return figure


def series(row: Row, probe: str, name: str) -> tuple[Array, Array, list[str]]:
    """Return steps or epochs, values [times, layers] and the layers' names that a run's probe wrote; empty if none."""
    lines = read_lines(Path(row["folder"]) / "metrics.jsonl")[0]
    mine = [line for line in lines if line.get("probe") == probe and isinstance(line.get("values", {}).get(name), list)]
    if not mine:
        return np.empty(0), np.empty((0, 0)), []
    last = {line.get("step", line["epoch"]): line for line in mine if line.get("layers") == mine[-1].get("layers")}
    values = [list(map(_number, line["values"][name])) for line in last.values()]
    return np.array(list(last), float), np.array(values, float), list(mine[-1].get("layers", []))


def by_layer(probe: str, name: str, label: str) -> Plot:
    """Return a figure of one line a layer, dark to light from the first to the last; the first seed of each cell."""

    def draw(axis: "Axes", cells: list[Filled]) -> bool:
        from matplotlib import colormaps

        x, values, layers = series(cells[0].runs[0], probe, name)
        shades = colormaps["cividis"](np.linspace(0, 0.9, max(1, len(layers))))
        for index, shade in enumerate(shades[: len(layers)]):
            axis.plot(x, values[:, index], color=shade, linewidth=0.8)
        axis.set(ylabel=label, xlabel="step" if len(x) and x[-1] > len(x) else "epoch")
        return bool(layers)

    def figure(result: Result, path: Path) -> list[Path]:
        groups = {f"{name_of(cell)}, {task}": [cell] for task, cells in tasks(result).items() for cell in cells}
        seen = {title: cells for title, cells in groups.items() if series(cells[0].runs[0], probe, name)[2]}
        return panels(result, path, seen, draw, legend=False)

    return figure
