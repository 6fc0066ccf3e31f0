"""Grids: a sweep file as a table, and of a grid of learning rates the best of each optimizer by validation."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from math import isfinite, nan
from pathlib import Path
from typing import Any

from conf import grammar, groups, yamls
from papers import sweepfile
from papers import table as tables
from papers.table import Table
from reports.cells import Filled, Result, judged
from reports.compare import first_metric, validation_score
from reports.runs import grouped

LR = "optimizer.lr"
Entry = dict[str, Any]


def load(name: str) -> Table:
    """Read a table by its name or path, or a sweep file by its path, laid out as data and net by optimizer.

    Raises UsageError, one line, for what is neither.
    """
    if not name.endswith((".yaml", ".yml")):
        return tables.load(name)
    content = yamls.mapping(name, yamls.load(Path(name)))
    return _of_sweep(Path(name).stem, content) if {"grid", "search"} & content.keys() else tables.load(name)


def _of_sweep(name: str, content: Entry) -> Table:
    """Turn the points into rows and columns; places where there is no point are excluded."""
    asked = sweepfile.read(name, content)
    common = {key: asked.fixed[key] for key in ("data", "model", "optimizer") if key in asked.fixed}
    places = [(_part(common | point, False), _part(common | point, True)) for point in asked.points]
    rows, columns = (list({repr(part): part for part in side}.values()) for side in zip(*places, strict=True))
    known = set(map(repr, places))
    spec: Entry = {key: content[key] for key in ("protocol", "tuned", "note") if key in content}
    spec |= {"title": content.get("title", name), "metric": _metric(rows), "seeds": asked.seeds}
    spec |= {"rows": list(map(_single, rows)), "columns": list(map(_single, columns)), "searched": asked.searched}
    spec["exclude"] = [row | column for row, column in product(rows, columns) if repr((row, column)) not in known]
    root = ("protocol", "tuned", *common)
    return Table(name, tables.DEFAULTS | spec | {"overrides": {k: v for k, v in asked.fixed.items() if k not in root}})


def _part(point: Entry, optimizers: bool) -> Entry:
    """Return a point's keys that are the optimizer's own, or the others."""
    return {key: value for key, value in point.items() if (key.split(".")[0] == "optimizer") == optimizers}


def _single(part: Entry) -> Entry:
    """Write a part as a table has it, where a list is several values."""
    return {key: [value] for key, value in part.items()}


def _metric(rows: Iterable[Entry]) -> str:
    """Return the first metric that the task of the rows' data measures and the papers print."""
    data = next((row["data"] for row in rows if row.get("data") in groups.options("data")), "digits")
    return first_metric(groups.raw("data", data)["task"])


def best_rates(result: Result) -> Result | None:
    """Return the table with, for each optimizer and task, its best learning rate by validation; None without a choice.

    Of a search it is the best draw. The winner is relabelled by its optimizer; a note names every winner, and marks a
    rate at the edge of its grid. Nothing is chosen by the test images: without validation scores there is no table.
    """
    searched = result.table.spec.get("searched")
    keys, what = (searched, "draw") if searched else ((LR,), "learning rate")
    chosen, notes = [], []
    for (row, column), cells in grouped((_without(keys, cell), cell) for cell in result.cells).items():
        scores = {id(cell): validation_score(cell.runs, cell.cell.metric) for cell in cells if cell.complete}
        tried = [_values(keys, cell) for cell in cells]
        if any(values != tried[0] for values in tried) and isfinite(max(scores.values(), default=nan)):
            best = max((cell for cell in cells if cell.complete), key=lambda cell: scores[id(cell)])
            chosen.append(replace(best, cell=replace(best.cell, row_label=row, column_label=column)))
            shown = " ".join(_shown(key, value, what) for key, value in _values(keys, best).items())
            edge = " (at the edge)" if not searched and _is_at_the_edge(best, cells) else ""
            notes.append(f"{column} {shown} of {len(scores)}{edge}")
    if not chosen:
        return None
    said = f"{what.capitalize()}s chosen on validation images, each of as many as its grid has: {'; '.join(notes)}."
    spec = result.table.spec | {"title": f"{result.table.title}, best {what}", "note": said}
    return judged(replace(result, table=Table(f"{result.table.name}-best", spec), cells=chosen))


def _values(keys: Iterable[str], cell: Filled) -> Entry:
    return {key: cell.cell.coordinates[key] for key in keys if key in cell.cell.coordinates}


def _without(keys: Iterable[str], cell: Filled) -> tuple[str, str]:
    """Return a cell's labels without the values of what was searched."""
    marks = {tables.named(key, value) for key, value in _values(keys, cell).items()}
    labels = (cell.cell.row_label, cell.cell.column_label)
    first, second = (" ".join(word for word in label.split(" ") if word not in marks) for label in labels)
    return first, second


def _shown(key: str, value: Any, what: str) -> str:
    return grammar.text(value) if what == "learning rate" else tables.named(key, value)


def _is_at_the_edge(best: Filled, cells: Iterable[Filled]) -> bool:
    rates = [float(cell.cell.coordinates[LR]) for cell in cells if LR in cell.cell.coordinates]
    return float(best.cell.coordinates.get(LR, nan)) in (min(rates), max(rates))
