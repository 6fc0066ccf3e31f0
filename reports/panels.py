"""One panel a task: what the runs wrote (curves, bars, lines of layers), and what all figures of a table share.

A plot is a generator: it yields its figure, or nothing where a result has nothing to show, and closes it afterwards.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from itertools import zip_longest
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from papers.table import METRICS
from record.lines import read_lines
from reports import style
from reports.cells import Filled, Result, better
from reports.runs import Row, device, diverged, grouped, made_with, proper

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
Curve = dict[str, Array]  # column -> values by epoch
Draw = Callable[["Axes", list[Filled]], bool]  # draws the cells of a task; False where there is nothing to show
Plot = Callable[[Result], "Iterator[Figure]"]
Groups = dict[str, list[Filled]]  # cells by the title of their panel
SIDE = 2  # panels side by side: more cannot be read on a page
MANY = 10  # cells of a panel
MOST = 30  # panels of a figure: of more nobody sees anything
LINE = 0.15  # inches of a legend's line
CHARACTERS = 60  # of a line below a panel
DECADE = 10.0  # from this ratio of its values on, a loss is drawn on a logarithmic axis
SHARED = "times of runs that shared their machine"


def name_of(cell: Filled, *without: str) -> str:
    """Return the optimizer's id with its label, or the values but those `without`, that tell it from its like."""
    place = cell.cell.coordinates
    if cell.cell.label:
        return f"{place.get('optimizer')} {cell.cell.label}"
    mine = {key: value for key, value in place.items() if key.startswith("optimizer.") and key not in without}
    more = [value if isinstance(value, str) else f"{key.split('.')[-1]}={value}" for key, value in mine.items()]
    return " ".join([str(place.get("optimizer", "")), *more]).strip()


def plain(text: str) -> str:
    """Keep matplotlib from reading a name as a formula."""
    return text.replace("$", r"\$")


def shown_as(name: str) -> str:
    """Return the optimizer's proper name as a legend has it."""
    return plain(proper(name))


def has_axis(result: Result, *keys: str) -> bool:
    """Tell whether the cells that have runs differ in every one of these coordinates."""
    return all(len({str(c.cell.coordinates.get(key)) for c in result.cells if c.runs}) > 1 for key in keys)


def tasks(result: Result) -> Groups:
    """Group the cells that have runs by task; of several cells or tasks of the same runs the first."""
    first = {_ids(cell): cell for cell in reversed(result.cells) if cell.runs}
    same = {_ids(cell): task_of(cell) for cell in first.values()}
    groups = grouped((same[_ids(cell)], cell) for cell in result.cells if cell is first.get(_ids(cell)))
    more = {task: len({task_of(c) for c in result.cells if same.get(_ids(c)) == task}) - 1 for task in groups}
    return {f"{task} (and {more[task]} tasks of the same runs)" if more[task] else task: cells
            for task, cells in groups.items()}  # fmt: skip


def _ids(cell: Filled) -> tuple[str, ...]:
    return tuple(str(row["id"]) for row in cell.runs)


def task_of(cell: Filled) -> str:
    """Return data set and net, and what else tells a cell from others that is not the optimizer's own: no name does."""
    place = cell.cell.coordinates
    told = {"data", "model", "metric", *(key for key in place if key.partition(".")[0] == "optimizer")}
    told |= {"budget"} if any(key.startswith("budget.") for key in place) else set()
    more = dict.fromkeys(f"{key.split('.')[-1]} {value}" for key, value in place.items() if key not in told)
    return " ".join([*(str(place[key]) for key in ("data", "model") if key in place), *more])


def without_rates(result: Result) -> bool:
    """Tell whether there is one rate an optimizer; of several, lines of one colour, figures.rates is the picture."""
    return not has_axis(result, "optimizer.lr")


@dataclass(frozen=True)
class Panels:
    """A figure of a panel a group of cells, the tasks unless told otherwise.

    when: tells whether a result has it. timed: shows times, of which those count that `timed` names.
    """

    draw: Draw
    when: Callable[[Result], bool] = without_rates
    groups: Callable[[Result], Groups] = tasks
    legend: bool = True
    timed: bool = False

    def __call__(self, result: Result) -> "Iterator[Figure]":
        """Yield the figure, or nothing where no panel has anything to show, or there would be more than MOST."""
        groups = self.groups(result) if self.when(result) else {}
        if not 0 < len(groups) <= MOST:
            return
        counts, mark = timed(result) if self.timed else (bool, "")
        kept = [[replace(cell, runs=list(filter(counts, cell.runs))) for cell in cells] for cells in groups.values()]
        columns = min(SIDE, len(groups))
        # One panel has the room of two, for its legend at its right; one with many lines is higher.
        many = len(groups) == 1 or max(map(len, groups.values())) > MANY
        size = style.WIDTH * SIDE / columns, style.HEIGHT * (1.25 if many else 1)
        with style.figure(columns, -(-len(groups) // columns), *size) as (made, axes):
            shown = [self.draw(axis, cells) for axis, cells in zip(axes.flat, kept, strict=False)]
            for axis, title, drawn in zip_longest(axes.flat, groups, shown):
                axis.set_title(plain(title or result.table.title))
                axis.set_visible(bool(drawn))
            if self.legend:
                add_legend(made)
            note(made, result, mark)
            if any(shown):
                yield made


def add_legend(made: "Figure") -> None:
    """Name every line once: below several panels, at the right of one."""
    keys = [zip(*axis.get_legend_handles_labels(), strict=True) for axis in made.axes]
    found = {label: line for key in keys for line, label in key}
    if not found:
        return
    if len(made.axes) == 1:
        made.set_figheight(max(made.get_figheight(), LINE * (3 + len(found))))
        made.legend(found.values(), found.keys(), loc="outside right center")
        return
    across = min(2 * SIDE, len(found))  # 1.7 inches a name
    made.set_figheight(made.get_figheight() + LINE * (1 - -len(found) // across))
    made.legend(found.values(), found.keys(), loc="outside lower center", ncols=across)


def note(made: "Figure", result: Result, *more: str) -> None:
    """Write above a figure, in red, what is no rerun of the paper and `more`, and below it what made the runs."""
    text = ", ".join(filter(None, [*result.labels, *more]))
    if text:
        made.suptitle(text, fontsize=7, color=style.HUES["red"])
    if made.legends and len(made.axes) > 1:  # it is below, where a note would lie upon it
        made.legends[0].set_title(machines(result))
        made.legends[0].get_title().set(size=7)
    else:
        style.annotate(made, machines(result))


def machines(result: Result) -> str:
    """Return what made a result's runs, and how many of them had it to themselves."""
    rows = list({str(row["id"]): row for row in result.runs}.values())
    shared = sum(bool(row.get("shared")) for row in rows)
    load = f"; {shared} of {len(rows)} runs shared it with others" if shared else ""
    return f"{', '.join(made_with(rows)['devices'])}{load}"


def timed(result: Result) -> tuple[Callable[[Row], bool], str]:
    """Tell which runs' times count, and what to say of it.

    Those that had their machine to themselves, or all where none had; of these those on the device with most runs.
    """
    shared = all(row.get("shared") for row in result.runs)
    devices = [device(row) for row in result.runs if shared or not row.get("shared")]
    machine = usual(devices) if devices else ""
    marks = SHARED if shared and devices else "", f"times on {machine} alone" if len(set(devices)) > 1 else ""
    return lambda row: (shared or not row.get("shared")) and device(row) == machine, ", ".join(filter(None, marks))


def usual(devices: Sequence[str]) -> str:
    """Return the one that occurs most often, of several the first by name."""
    return max(sorted(set(devices)), key=devices.count)


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
