"""One panel a task: names, titles, legends and notes, which all figures of a table share.

A plot is a generator: it yields its figure, or nothing where a result has nothing to show, and closes it afterwards.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from textwrap import fill
from typing import TYPE_CHECKING

from reports import style
from reports.cells import Filled, Result
from reports.runs import Row, device, grouped, made_with, proper

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[["Axes", list[Filled]], bool]  # draws the cells of a task; False where there is nothing to show
Plot = Callable[[Result], "Iterator[Figure]"]
Groups = dict[str, list[Filled]]  # cells by the title of their panel
SIDE = 2  # panels side by side: more cannot be read on a page
MANY = 10  # cells of a panel
MOST = 30  # panels of a figure: of more nobody sees anything
LINE = 0.15  # inches of a legend's line
CHARACTERS = 48  # of a line above or below a panel
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
                axis.set_title(fill(plain(title or result.table.title), CHARACTERS))
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
