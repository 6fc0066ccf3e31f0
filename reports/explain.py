"""The runs behind a cell, and two optimizers compared over all cells that they share."""

from math import isfinite, isnan
from statistics import harmonic_mean

import numpy as np

from conf.errors import UsageError, unknown
from papers.table import METRICS
from record.files import one_line
from record.source import changed
from reports.cells import Filled, Result, better
from reports.layout import again, fixed
from reports.runs import Row, device, grouped
from reports.statistics import ALPHA, MOST, Comparison, half_width, paired, signed_ranks, welch

FEWEST_TASKS = 6  # below that Wilcoxon's signed ranks cannot reach 5 %


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


def compare(results: list[Result], a: str, b: str) -> str:
    """Compare two optimizers over all tasks that both have complete runs for, paired by seed where seeds match.

    Raises UsageError for a name that no table's column or row has.
    """
    pairs = _pairs(results, a, b)
    lines = [f"{a} against {b}: {len(pairs)} shared tasks"]
    gains = []
    for task, x, y in pairs:
        kind, test = _test(x, y)
        gain = better(x.cell.metric) * test.difference
        gains.append(gain)
        verdict = f"{a if gain > 0 else b} better" if test.p < ALPHA else _needed(x, y, test)
        lines.append(
            f"  {task}: {fixed(x.summary.mean, x.cell.metric)} against {fixed(y.summary.mean, y.cell.metric)}, "
            f"{test.difference:+z.3f}, p {test.p:.3g} ({kind}, n {len(x.values)}): {verdict}"
        )
    return "\n".join([*lines, *_overall(gains, a, b)]) + "\n"


def _test(x: Filled, y: Filled) -> tuple[str, Comparison]:
    if [row["seed"] for row in x.runs] == [row["seed"] for row in y.runs]:
        return "paired", paired(x.values, y.values)
    return "Welch", welch(x.summary, y.summary)


def _needed(x: Filled, y: Filled, test: Comparison | None = None) -> str:
    """Say how many seeds a side would show a difference of the size seen, were it real; test: Welch's if not given."""
    test = test or welch(x.summary, y.summary)
    if isnan(test.p):
        return f"nothing can be said {'from one seed' if min(x.summary.n, y.summary.n) < 2 else 'without spread'}"
    if not test.difference:
        return "no difference found"
    n = test.needed(harmonic_mean([x.summary.n, y.summary.n]))
    return f"no difference found; one of this size would need {n or f'over {MOST}'} seeds a side for 80 % power"


def _overall(gains: list[float], a: str, b: str) -> list[str]:
    if not gains:
        return ["  nothing to compare: no task has complete runs of both"]
    wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    equal = len(gains) - wins - losses
    text = f"  {a} ahead in {wins}, {b} in {losses}, equal in {equal}; mean gain {np.mean(gains):+z.3f}"
    if wins + losses < FEWEST_TASKS:
        return [text, f"  a test over tasks needs at least {FEWEST_TASKS} of them that differ"]
    return [
        text,
        f"  Wilcoxon over tasks: p {signed_ranks(gains):.3g}; tasks that share a data set are not independent",
    ]


def _pairs(results: list[Result], a: str, b: str) -> list[tuple[str, Filled, Filled]]:
    every = [(str(cell.cell.coordinates.get("optimizer")), result, cell) for result in results for cell in result.cells]
    known = {name for name, _, _ in every}
    for name in (a, b):
        if name not in known:
            raise unknown("compare", name, known)
    complete = (entry for entry in every if entry[0] in (a, b) and entry[2].complete and entry[2].values)
    found = grouped(((_task(result, cell), cell.cell.task), (name, cell)) for name, result, cell in complete)
    tasks = [(key[0], dict(reversed(cells))) for key, cells in found.items()]  # of several cells the first
    return [(task, cells[a], cells[b]) for task, cells in tasks if a in cells and b in cells]


def _task(result: Result, cell: Filled) -> str:
    place = [str(cell.cell.coordinates.get(key, "")) for key in ("data", "model")]
    label = "" if result.scale == "paper" else f" [scale {result.scale}]"
    return " ".join([result.table.name, *place, cell.cell.metric]) + label
