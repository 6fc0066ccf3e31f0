"""Grids: a sweep file as a table, and of a grid of learning rates the best of each optimizer by validation."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from math import isfinite, nan
from pathlib import Path
from typing import Any

from conf import grammar, groups, metrics, yamls
from conf.errors import UsageError
from papers import table as tables
from papers.table import METRICS, Table
from reports.cells import Filled, Result, judged
from reports.compare import validation_score
from reports.runs import grouped

LR = "optimizer.lr"
Entry = dict[str, Any]


def load(name: str) -> Table:
    """Read a table by its name or path, or a sweep file by its path, laid out as data and net by optimizer.

    Raises UsageError, one line, for what is neither, and for a sweep file that searches: `sweep` draws its points.
    """
    if not name.endswith((".yaml", ".yml")):
        return tables.load(name)
    content = yamls.mapping(name, yamls.load(Path(name)))
    if "search" in content:
        raise UsageError(f"{name}: a search has no axes to lay out; use `reports compare`, which finds its runs")
    return _of_sweep(Path(name).stem, content) if "grid" in content else tables.load(name)


def _of_sweep(name: str, content: Entry) -> Table:
    """Turn the grid into rows and columns; places that no block of the grid asks for are excluded."""
    fixed = yamls.mapping(f"{name}.overrides", content.get("overrides") or {})
    named = {key: fixed[key] for key in ("data", "model", "optimizer") if key in fixed}
    points = [named | point for block in yamls.blocks(f"{name}.grid", content["grid"]) for point in _points(block)]
    wanted = [(_part(point, False), _part(point, True)) for point in points]
    rows, columns = (list(dict.fromkeys(side)) for side in zip(*wanted, strict=True))
    absent = [dict(row + column) for row, column in product(rows, columns) if (row, column) not in wanted]
    spec: Entry = {key: content[key] for key in ("protocol", "tuned", "seeds", "note") if key in content}
    spec |= {"title": content.get("title", name), "rows": list(map(dict, rows)), "columns": list(map(dict, columns))}
    spec |= {"metric": _metric(spec["rows"]), "overrides": {k: v for k, v in fixed.items() if k not in named}}
    spec["exclude"] = absent + list(yamls.blocks(f"{name}.exclude", content.get("exclude") or []))
    return Table(name, tables.DEFAULTS | spec)


def _points(block: Entry) -> list[Entry]:
    lists = {key: value if isinstance(value, list) else [value] for key, value in block.items()}
    return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]


def _part(point: Entry, optimizers: bool) -> tuple[tuple[str, Any], ...]:
    """Return a point's keys that are the optimizer's own, or the others."""
    return tuple((key, value) for key, value in point.items() if (key.split(".")[0] == "optimizer") == optimizers)


def _metric(rows: Iterable[Entry]) -> str:
    """Return the first metric that the task of the rows' data measures and the papers print."""
    data = next((row["data"] for row in rows if row.get("data") in groups.options("data")), "digits")
    task = groups.raw("data", data)
    measured = metrics.measured(task["task"], task["num_classes"])
    return next(name for name in METRICS if name.removeprefix("test_") in measured)


def best_rates(result: Result) -> Result | None:
    """Return the table with, for each optimizer and task, its best learning rate by validation; None without a choice.

    The winner is relabelled by its optimizer; a note names every rate, and marks one at the edge of its grid. Nothing
    is chosen by the test images: without validation scores there is no such table.
    """
    chosen, notes = [], []
    for (row, column), cells in grouped((_without_rate(cell), cell) for cell in result.cells).items():
        scores = {id(cell): validation_score(cell.runs, cell.cell.metric) for cell in cells if cell.complete}
        tried = {float(cell.cell.coordinates.get(LR, nan)) for cell in cells}
        if len(tried) > 1 and isfinite(max(scores.values(), default=nan)):
            best = max((cell for cell in cells if cell.complete), key=lambda cell: scores[id(cell)])
            chosen.append(replace(best, cell=replace(best.cell, row_label=row, column_label=column)))
            edge = " (at the edge)" if float(best.cell.coordinates[LR]) in (min(tried), max(tried)) else ""
            notes.append(f"{column} {_rate(best)} of {len(scores)}{edge}")
    if not chosen:
        return None
    said = f"Learning rates chosen on validation images, each of as many as its grid has: {'; '.join(notes)}."
    spec = result.table.spec | {"title": f"{result.table.title}, best learning rate", "note": said}
    return judged(replace(result, table=Table(f"{result.table.name}-best", spec), cells=chosen))


def _without_rate(cell: Filled) -> tuple[str, str]:
    """Return a cell's labels without its learning rate."""
    mark = f"lr={_rate(cell)}"
    labels = (cell.cell.row_label, cell.cell.column_label)
    first, second = (" ".join(word for word in label.split(" ") if word != mark) for label in labels)
    return first, second


def _rate(cell: Filled) -> str:
    return grammar.text(cell.cell.coordinates.get(LR))
