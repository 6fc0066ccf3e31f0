"""What goes beside a table in a paper: the hyper-parameters of its runs, and every pair of optimizers compared."""

from collections.abc import Iterator
from itertools import combinations
from math import isfinite, nan

from papers.table import METRICS
from reports.cells import Filled, Result, better, printed
from reports.compare import no_difference
from reports.grids import best_rates
from reports.layout import DASH, Entry, Grid, fixed, grid
from reports.panels import name_of, task_of
from reports.runs import proper
from reports.statistics import ALPHA, Comparison, effect_size, holm, welch

PREFIX = "config.optimizer."
LEFT_OUT = ("name", "target", "version", "groups", "decay")
PAIRWISE = ("difference", "effect size (g)", "p (Holm)", "seeds", "verdict")


def beside(result: Result) -> list[Grid]:
    """Return the further tables of a table, those that have something to show: of a grid of rates, the best first."""
    best = best_rates(result)
    made = [*([grid(best)] if best else []), settings(best or result), pairwise(best or result)]
    return [one for one in made if one.rows] if result.runs else []


def settings(result: Result) -> Grid:
    """Return the hyper-parameters that the runs of each row and optimizer used, and their seeds."""
    values: dict[str, dict[str, str]] = {}
    for cell in (cell for cell in result.cells if cell.runs):
        row = cell.runs[0]
        used = {key.removeprefix(PREFIX): value for key, value in row.items() if key.startswith(PREFIX)}
        texts = {key: _text(value) for key, value in used.items() if key.split(".")[0] not in LEFT_OUT}
        texts |= {"schedule": str(row.get("config.schedule.name", DASH)), "seeds": str(len(cell.runs))}
        values.setdefault(f"{cell.cell.row_label} | {cell.cell.column_label}", texts)
    columns = list(dict.fromkeys(key for texts in values.values() for key in texts if key != "seeds"))
    return _grid(result, "settings", "hyper-parameters", [*columns, "seeds"], values, [])


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else DASH if value is None else str(value)


def pairwise(result: Result) -> Grid:
    """Compare every two optimizers of each group by the test of the table's stars, Holm-adjusted within the group."""
    values = {}
    for group in result.groups():
        pairs = list(combinations([cell for cell in group if cell.sound], 2))
        tests = [welch(a.summary, b.summary) for a, b in pairs]
        for (a, b), test, p in zip(pairs, tests, holm([test.p for test in tests]), strict=True):
            values[" ".join([task_of(a), _versus(a, b)]).strip()] = dict(
                zip(PAIRWISE, _compared(a, b, test, p), strict=True)
            )
    said = "Difference: first less second. g: Hedges' g. p: Welch's t test, Holm over the pairs of a group."
    return _grid(result, "pairs", "pairwise comparisons", PAIRWISE, values, [said])


def _versus(a: Filled, b: Filled) -> str:
    """Name a pair by its optimizers, and by its metric where the table has several."""
    metric = f" ({METRICS[a.cell.metric]['short']})" if "metric" in a.cell.coordinates else ""
    return f"{proper(name_of(a))} / {proper(name_of(b))}{metric}"


def _compared(a: Filled, b: Filled, test: Comparison, p: float) -> Iterator[str]:
    theirs = [printed(cell) for cell in (a, b)]
    effect = theirs[0].mean - theirs[1].mean if theirs[0] and theirs[1] else nan
    ahead = a if better(a.cell.metric) * test.difference > 0 else b
    yield fixed(test.difference, a.cell.metric)
    yield f"{size:.2f}" if isfinite(size := effect_size(a.summary, b.summary)) else DASH
    yield f"{p:.2g}" if isfinite(p) else DASH
    yield f"{len(a.values)}, {len(b.values)}"
    yield f"{proper(name_of(ahead))} better" if p < ALPHA else no_difference(test, a.summary, b.summary, effect)


def _grid(
    result: Result, name: str, title: str, columns: tuple[str, ...] | list[str], values: dict[str, dict[str, str]],
    remarks: list[str],
) -> Grid:  # fmt: skip
    entries = {(row, key): Entry(mean=text) for row, texts in values.items() for key, text in texts.items()}
    return Grid(
        name=f"{result.stem}-{name}",
        title=f"{result.table.title}: {title}",
        corner="",
        rows=list(values),
        columns=list(columns),
        entries=entries,
        remarks=[*remarks, *(f"{label[0].upper()}{label[1:]}." for label in result.labels)],
    )
