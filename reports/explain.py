"""The runs behind a cell, and the command that makes them again."""

from math import isfinite

from conf.errors import UsageError, unknown
from papers.table import METRICS
from record.files import one_line
from record.source import changed
from reports.cells import Filled, Result
from reports.layout import again, fixed
from reports.runs import Row, device
from reports.statistics import half_width


def find_cell(result: Result, words: list[str]) -> Filled:
    """Return the one cell that all words name (values of its coordinates, or its labels).

    Raises UsageError when none or several do, with what would tell them apart.
    """
    names = [
        {str(value) for value in c.cell.coordinates.values()} | {c.cell.row_label, c.cell.column_label}
        for c in result.cells
    ]
    fits = [cell for cell, known in zip(result.cells, names, strict=True) if set(words) <= known]
    if len(fits) == 1:
        return fits[0]
    if not fits:
        every = sorted(set().union(*names))
        for word in words:
            if word not in every:
                raise unknown(f"explain {result.table.name}", word, every)
        raise UsageError(f"explain {result.table.name}: no cell is named {' '.join(words)}")
    some = "; ".join(f"{cell.cell.row_label} | {cell.cell.column_label}" for cell in fits[:5])
    raise UsageError(f"explain {result.table.name}: {len(fits)} cells are named {' '.join(words)}: {some}; add a word")


def explain(result: Result, words: list[str]) -> str:
    """Describe a cell: its number, its runs with their commits and machines, and the command that makes it again."""
    cell = find_cell(result, words)
    lines = [
        f"{result.table.name}: {cell.cell.row_label} | {cell.cell.column_label}   (scale {result.scale})",
        f"  {METRICS[cell.cell.metric]['label']}: {_mean(cell)}, {len(cell.values)} of {cell.planned} seeds",
        f"  verdict: {cell.verdict_text}" + (f" ({cell.reason})" if cell.reason else ""),
        *_published(cell),
        *(f"  not from the paper: {key}: {note}" for key, note in sorted(cell.notes.items())),
        "  runs:" if cell.runs else "  runs: none",
        *(_run(row, fixed(value, cell.cell.metric)) for row, value in zip(cell.runs, cell.values, strict=True)),
        f"  again: {again(cell)}",
    ]
    return "\n".join(lines) + "\n"


def _mean(cell: Filled) -> str:
    ours, metric = cell.summary, cell.cell.metric
    spread = f" ± {fixed(ours.std, metric)} (std), 95 % interval ± {fixed(half_width(ours), metric)}"
    return fixed(ours.mean, metric) + (spread if ours.n > 1 else "")


def _published(cell: Filled) -> list[str]:
    number = cell.published
    if number is None or number.mean is None:
        return []
    std = "" if number.std is None else f" ± {number.std}"
    where = f"{number.setting or 'no setting'}; {number.source}; papers/published/results.csv line {number.line}"
    lines = [f"  published: {number.mean}{std}, n {number.n or 'unknown'} ({where})"]
    if isfinite(cell.p):
        test = cell.against
        lines.append(f"  difference: {test.difference:+z.3f} = {test.errors:+z.2f} standard errors, p {cell.p:.3g}")
    return lines


def _run(row: Row, value: str) -> str:
    commits = ",".join(str(commit)[:10] for commit in row.get("commits") or [])
    commits += ", changed" if row.get("dirty") else ""
    other = "".join(f"; the code of its {group} differs today" for group in changed(row))
    made = f"commit {commits}  {device(row)}, torch {row.get('platform.torch')}{other}"
    return "    " + one_line(f"s{row['seed']} {row['id']} {row['state']} {value}  {made}  {row['folder']}/config.yaml")
