"""A table's cells filled from the runs: numbers, comparison with the paper, verdict, rank in their group."""

from collections import Counter
from dataclasses import dataclass, field, replace
from math import inf, isclose, isfinite, nan

import numpy as np

from conf import metrics
from conf.errors import UsageError
from papers.published import Published
from papers.table import METRICS, Cell, Table
from reports import statistics
from reports.published import Used, used
from reports.runs import Identify, Row, Runs, diverged, grouped, notes, synthetic, value
from reports.statistics import ALPHA, NO_SPREAD, Comparison, Summary, holm, summary, welch

NOTHING = Comparison(nan)
AGREES, DIFFERS, FEW, NOT_RUN, DIVERGED = "agrees", "differs", "too few seeds", "not run", "diverged"
UNDECIDED = "nothing can be said"  # one seed or no spread: there is nothing to judge a difference by
NO_VALUE, UNPUBLISHED, OTHER_SCALE, RECREATION = "no such metric", "no published number", "other scale", "re-creation"
COMPLETE = "complete"  # of a table that is set beside no paper


@dataclass(frozen=True)
class Filled:
    """A cell and what the store holds for it.

    values: one a seed, in order of seed; a run that diverged counts at chance level. against: ours less published;
    p: of that difference, Holm-adjusted within the group. from_best: against the group's best, likewise.
    highlight: `best` (all that tie), `near` (within one standard deviation of the best, the best's own) or empty.
    """

    cell: Cell
    runs: list[Row]
    values: list[float]
    published: Published | None
    summary: Summary
    reason: str = ""
    against: Comparison = NOTHING
    p: float = nan
    from_best: float = nan
    highlight: str = ""
    verdict: str = NOT_RUN
    notes: dict[str, str] = field(default_factory=dict)
    used: Used | None = None

    @property
    def planned(self) -> int:
        return len(self.cell.seeds)

    @property
    def diverged(self) -> int:
        return sum(map(diverged, self.runs))

    @property
    def complete(self) -> bool:
        return len(self.values) == self.planned and isfinite(self.summary.mean)

    @property
    def sound(self) -> bool:
        """Complete and without a diverged seed, whose chance level would drown every difference in its spread."""
        return self.complete and not self.diverged

    @property
    def verdict_text(self) -> str:
        """The verdict with its count, e.g. `diverged 1 of 5`."""
        counts = {FEW: f" ({len(self.values)} of {self.planned})", DIVERGED: f" {self.diverged} of {len(self.runs)}"}
        return self.verdict + counts.get(self.verdict, "")


@dataclass(frozen=True)
class Result:
    """A table at a scale, filled."""

    table: Table
    scale: str
    cells: list[Filled]

    @property
    def stem(self) -> str:
        """The name of its files: the table's, with the scale unless that is the table's own."""
        return self.table.name + ("" if self.own else f"@{self.scale}")

    @property
    def own(self) -> bool:
        """Whether the table has its own form here, and no smaller one."""
        return self.scale == self.table.form("paper")

    @property
    def synthetic(self) -> bool:
        """Whether some of its runs are on synthetic data."""
        return any(synthetic(row) for row in self.runs)

    @property
    def runs(self) -> list[Row]:
        return [row for cell in self.cells for row in cell.runs]

    @property
    def labels(self) -> list[str]:
        """What everyone is told of a result that is no rerun of the paper: its scale, and what it is made on."""
        kinds = {"synthetic data": self.synthetic, "re-creation": bool(self.table.spec["recreation"])}
        scale = [] if self.scale == "paper" else [f"scale {self.scale}"]
        return scale + [kind for kind, true in kinds.items() if true]

    @property
    def comparable(self) -> bool:
        """Whether the numbers may be set against the published ones as the same experiment."""
        return self.scale == "paper" and not self.table.spec["recreation"] and not self.synthetic

    def count(self) -> Counter[str]:
        """Return how many cells have each verdict."""
        return Counter(cell.verdict for cell in self.cells)

    def groups(self) -> list[list[Filled]]:
        """Return the cells that are compared with each other, group by group, in order of layout."""
        return list(grouped((cell.cell.task, cell) for cell in self.cells).values())


def fill(table: Table, runs: Runs, identify: Identify, scale: str = "paper") -> Result:
    """Fill a table's cells from a store's runs. Raises UsageError where two cells are called the same."""
    scale = table.form(scale)
    cells = table.cells(scale)
    for (row, column), count in Counter(map(_labels, cells)).items():
        if count > 1:
            raise UsageError(f"table {table.name}: {count} cells are called {row} | {column}; give each a `label`")
    if not table.has_runs:
        return Result(table, scale, [_looked_up(table, cell) for cell in cells])
    ids, reasons = identify(cells)
    filled = [_filled(table, cell, runs, ids.get(cell.overrides), reasons.get(cell.overrides, "")) for cell in cells]
    return judged(Result(table, scale, filled))


def judged(result: Result) -> Result:
    """Compare the cells of each group with the paper and with each other."""
    found = {_labels(cell.cell): cell for group in result.groups() for cell in _judged(group, result)}
    return replace(result, cells=[found[_labels(cell.cell)] for cell in result.cells])


def _labels(cell: Cell) -> tuple[str, str]:
    return cell.row_label, cell.column_label


def _looked_up(table: Table, cell: Cell) -> Filled:
    found = used(table, cell)
    return Filled(cell, [], [], None, summary([]), verdict=found.verdict, used=found)


def _filled(table: Table, cell: Cell, runs: Runs, group: str | None, reason: str) -> Filled:
    found = runs.of(group, cell.seeds)
    values = [value(row, cell.metric) for row in found]
    unprinted = {key: note for row in found for key, note in notes(row).items()}
    return Filled(cell, found, values, table.published(cell), summary(values), reason, notes=unprinted)


def _judged(group: list[Filled], result: Result) -> list[Filled]:
    compared = [_against(cell) if result.comparable and cell.sound else NOTHING for cell in group]
    best, shown = _best(group), result.table.spec["highlight"] != "none"
    behind = holm([_behind(cell, best) for cell in group])
    found = zip(group, compared, holm([one.p for one in compared]), behind, strict=True)
    return [
        replace(
            cell, against=against, p=p, from_best=from_best, highlight=_highlight(cell, best) if shown else "",
            verdict=_verdict(cell, p, result),
        )
        for cell, against, p, from_best in found
    ]  # fmt: skip


def _behind(cell: Filled, best: Filled | None) -> float:
    """Return the p value of a cell against the best of its group; NaN where they tie, or nothing can be said."""
    tested = best is not None and cell.sound and cell.summary.mean != best.summary.mean
    return welch(cell.summary, best.summary).p if best and tested else nan


def _against(cell: Filled) -> Comparison:
    theirs = printed(cell)
    if theirs is None:
        return NOTHING
    digits = METRICS[cell.cell.metric]["digits"]
    alike = round(cell.summary.mean, digits) == round(theirs.mean, digits)  # no more is known than is printed
    return welch(replace(cell.summary, mean=theirs.mean) if alike else cell.summary, theirs)


def printed(cell: Filled) -> Summary | None:
    """Return the published mean, deviation (NaN where none is printed) and number of values; None without a mean."""
    number = cell.published
    if number is None or number.mean is None:
        return None
    return Summary(number.mean, nan if number.std is None else number.std, number.n or 1)


def better(metric: str) -> int:
    """Return 1 where higher is better, -1 where lower is."""
    return metrics.metric(METRICS.get(metric, {}).get("of", metric)).sign


def _best(group: list[Filled]) -> Filled | None:
    """Return the best; of several that tie the one with the widest spread, so that their order decides nothing."""
    complete = [cell for cell in group if cell.complete]
    return max(complete, key=lambda cell: (score(cell), np.nan_to_num(cell.summary.std, nan=inf)), default=None)


def score(cell: Filled) -> float:
    """Return a cell's mean, higher is better."""
    return better(cell.cell.metric) * cell.summary.mean


def _highlight(cell: Filled, best: Filled | None) -> str:
    if best is None or not cell.complete:
        return ""
    if cell.summary.mean == best.summary.mean:
        return "best"
    distance, std = abs(cell.summary.mean - best.summary.mean), best.summary.std
    return "near" if distance <= std or isclose(distance, std, rel_tol=NO_SPREAD) else ""


def _verdict(cell: Filled, p: float, result: Result) -> str:
    """Return the first of the verdicts that holds; a difference counts where the adjusted p is under 5 %."""
    number = cell.published
    holds = (
        (NOT_RUN, not cell.runs),
        (DIVERGED, cell.diverged > 0),
        (NO_VALUE, not all(map(isfinite, cell.values))),
        (FEW, len(cell.values) < cell.planned),
        (OTHER_SCALE, not result.own or result.synthetic),
        (RECREATION, bool(result.table.spec["recreation"])),
        (COMPLETE, not result.table.spec["published"]),
        (UNPUBLISHED, number is None or number.mean is None),
        (DIFFERS, p < ALPHA),
        (AGREES, p >= ALPHA),
        (UNDECIDED, True),
    )
    return next(verdict for verdict, true in holds if true)


def power_note(result: Result) -> str:
    """Say what this number of seeds cannot show; empty for a table without runs."""
    sizes = [len(cell.values) for cell in result.cells if cell.complete and cell.planned > 1]
    if not sizes:
        return ""
    n = min(sizes)
    effect = statistics.detectable_effect(n)
    exact = f" An exact paired test of {n} seeds cannot go below p = {2 / 2**n:.3g}." if n < 6 else ""
    return (
        f"With {n} seeds a difference between two optimizers is found with 80 % power only from {effect:.1f} standard "
        f"deviations on, before any correction: 'agrees' and 'not worse' mean that no difference was found.{exact}"
    )
