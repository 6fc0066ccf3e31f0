"""What runs wrote while they trained, as arrays and as figures: epochs and steps, times, what probes measured."""

from functools import lru_cache, reduce
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from papers.table import METRICS
from record.lines import read_lines
from reports import style
from reports.cells import Filled, Result, better
from reports.panels import CHARACTERS, Groups, Panels, Plot, name_of, shown_as, tasks, usual
from reports.runs import Row, device, diverged, grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
Curve = dict[str, Array]  # column -> values by epoch
DECADE = 10.0  # from this ratio of its values on, a loss is drawn on a logarithmic axis


def curve(row: Row, kind: str = "epoch") -> Curve:
    """Read a run's epoch (or step) rows as columns; of a repeated one the last line counts, a torn line is left out."""
    return _curve(row["folder"], row.get("id"), kind)


@lru_cache(maxsize=4096)  # every figure of a table reads the same runs
def _curve(folder: str, _: str | None, kind: str) -> Curve:
    lines = read_lines(Path(folder) / "metrics.jsonl")[0]
    by_time = {line[kind]: line for line in lines if line.get("kind") == kind and kind in line}
    ordered = [by_time[time] for time in sorted(by_time)]
    names = {name for line in ordered for name, value in line.items() if isinstance(value, int | float)}
    return {name: np.array([_number(line.get(name)) for line in ordered]) for name in names}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def band(found: list[Curve], column: str, against: str = "epoch", kind: str = "epoch") -> tuple[Array, Array, Array]:
    """Return abscissa, mean and standard deviation over seeds of a column, at the times that all curves have.

    kind: the column of these times, `epoch` or `step`.
    """
    have = [c for c in found if column in c and against in c]
    times = reduce(np.intersect1d, [c[kind] for c in have]) if have else np.empty(0)
    if not len(times):
        return np.empty(0), np.empty(0), np.empty(0)
    x, stacked = (np.stack([c[key][np.isin(c[kind], times)] for c in have]) for key in (against, column))
    return x.mean(0), stacked.mean(0), stacked.std(0, ddof=1) if len(have) > 1 else np.zeros(len(times))


def last(row: Row, probe: str, name: str) -> float | None:
    """Return the last value of a scalar that a run's probe wrote; None if it wrote none."""
    lines = read_lines(Path(row["folder"]) / "metrics.jsonl")[0]
    found = [line["values"].get(name) for line in lines if line.get("probe") == probe and "values" in line]
    return float(found[-1]) if found and isinstance(found[-1], int | float) else None


def series(row: Row, probe: str, name: str) -> tuple[Array, Array, list[str]]:
    """Return steps or epochs, values [times, layers] and the layers' names that a run's probe wrote; empty if none."""
    lines = read_lines(Path(row["folder"]) / "metrics.jsonl")[0]
    mine = [line for line in lines if line.get("probe") == probe and isinstance(line.get("values", {}).get(name), list)]
    if not mine:
        return np.empty(0), np.empty((0, 0)), []
    layers = mine[-1].get("layers", [])
    alike = (line for line in mine if line.get("layers") == layers and len(line["values"][name]) == len(layers))
    last = {line.get("step", line.get("epoch", 0)): list(map(_number, line["values"][name])) for line in alike}
    return np.array(list(last), float), np.array(list(last.values()), float), list(layers if last else [])


def curves(*columns: str, against: str = "epoch", xlabel: str = "epoch", kind: str = "epoch") -> Plot:
    """Return a figure of a column of the epochs (or, kind="step", of the steps): mean and one standard deviation.

    columns: in each panel the first that a run has. Runs that diverged have no curve to its end: the axis counts them.
    """

    def draw(axis: "Axes", cells: list[Filled]) -> bool:
        found = {name_of(cell): [curve(row, kind) for row in cell.runs if not diverged(row)] for cell in cells}
        known = {column for curves in found.values() for one in curves for column in one}
        column = next((column for column in columns if column in known), "")
        means = []
        for name, lines in found.items():
            x, mean, std = band(lines, column, against, kind)
            seen = np.isfinite(mean)  # a net may be evaluated every few epochs only
            if seen.any():
                x, mean, std, looks = x[seen], mean[seen], std[seen], style.look(name, seen.sum())
                axis.plot(x, mean, label=shown_as(name), **looks)
                axis.fill_between(x, mean - std, mean + std, color=looks["color"], alpha=0.15, linewidth=0)
                means.append(mean)
        axis.set(xlabel=xlabel + _left_out(cells), ylabel=METRICS.get(column, {}).get("short", column))
        _fit(axis, column, means)
        return bool(means)

    return Panels(draw, timed=against == "seconds")


def _left_out(cells: list[Filled]) -> str:
    """Say, on a line of its own, how many runs of each optimizer diverged."""
    counts = [f"{shown_as(name_of(cell))} {cell.diverged} of {len(cell.runs)}" for cell in cells if cell.diverged]
    return "\n" + fill(f"not drawn, diverged: {', '.join(counts)}", CHARACTERS) if counts else ""


def _fit(axis: "Axes", column: str, means: list[Array]) -> None:
    """Choose the axes: logarithmic where values span decades, and for a score of which more is better its finish."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    values = np.concatenate([*means, np.empty(0)])
    if len(values) and column in METRICS and better(column) > 0:
        late = [mean[len(mean) // 3 :] for mean in means]
        low, high = min(map(np.min, late)), max(map(np.max, late))
        axis.set_ylim(low - 0.1 * (high - low) - 0.1, high + 0.1 * (high - low) + 0.1)
    elif (values > 0).any() and values.max() > DECADE * values[values > 0].min():
        axis.set_yscale("log")


def bars(field: str, label: str, unit: float) -> Plot:
    """Return a figure of bars of a field of the runs: median and range over seeds, on the device with most runs."""

    def draw(axis: "Axes", cells: list[Filled]) -> bool:
        rows = [(name_of(cell), row) for cell in cells for row in cell.runs if row.get(field) is not None]
        found = [device(row) for _, row in rows]
        if not found:
            return False
        machine = usual(found)
        here = grouped((name, row[field] / unit) for name, row in rows if device(row) == machine)
        middles = np.array([np.median(values) for values in here.values()])
        ends = np.array([[min(values), max(values)] for values in here.values()]).T
        colours = [style.look(name)["color"] for name in here]
        axis.bar(range(len(here)), middles, color=colours, yerr=np.abs(ends - middles), error_kw={"linewidth": 0.8})
        axis.set_xticks(range(len(here)), list(map(shown_as, here)), rotation=60, ha="right")
        axis.set(ylabel=label, xlabel=machine if len(set(found)) > 1 else "", xlim=(-0.6, max(len(here), 6) - 0.4))
        return True

    return Panels(draw, legend=False, timed=field.startswith("time."))


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

    def each(result: Result) -> Groups:
        cells = {f"{shown_as(name_of(c))}, {task}": [c] for task, cells in tasks(result).items() for c in cells}
        return {title: cells for title, cells in cells.items() if series(cells[0].runs[0], probe, name)[2]}

    return Panels(draw, when=bool, groups=each, legend=False)
