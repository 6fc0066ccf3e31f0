"""Two optimizers compared over tasks: who is ahead, by how much, and what the seeds at hand could have shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, isnan, nan
from statistics import fmean, harmonic_mean

from conf import grammar
from papers.table import Cell
from reports.cells import Filled, better, printed
from reports.layout import fixed
from reports.runs import grouped, proper
from reports.statistics import ALPHA, MOST, POWER, Comparison, holm, welch


@dataclass(frozen=True)
class Pair:
    """A comparison: claimed higher, claimed lower, how much better the first is, and p, Holm-adjusted in its claim.

    effect: the difference in the paper, the mean of the claim's where this one is not printed; NaN if none is.
    """

    first: Filled
    second: Filled
    gain: float
    test: Comparison
    p: float
    effect: float

    @property
    def sure(self) -> bool:
        return self.gain > 0 and self.p < ALPHA

    @property
    def against(self) -> bool:
        return self.gain < 0 and self.p < ALPHA

    @property
    def weak(self) -> bool:
        """Neither significant nor able to show the paper's difference."""
        return not self.p < ALPHA and not self.test.power(self.effect) >= POWER

    def needed(self) -> float:
        """Return the seeds a side that show the paper's difference (or that seen); NaN for over MOST, or unknown."""
        n = harmonic_mean([self.first.summary.n, self.second.summary.n])
        effect = self.effect if isfinite(self.effect) else self.test.difference
        return (self.test.needed(n, effect) or nan) if self.test.error > 0 and effect else nan


@dataclass(frozen=True)
class Pairs:
    """The comparisons of a claim that have numbers, and how many have none."""

    ready: list[Pair]
    missing: int

    @property
    def wins(self) -> int:
        return sum(pair.gain > 0 for pair in self.ready)

    @property
    def sure(self) -> int:
        """How many are as claimed, and significantly so."""
        return sum(pair.sure for pair in self.ready)

    @property
    def ours(self) -> bool:
        """Whether these are runs, and no printed numbers."""
        return any(pair.first.runs for pair in self.ready)

    def count(self) -> str:
        """Say how the comparisons came out."""
        undecided = sum(isnan(pair.p) for pair in self.ready)
        against = [pair for pair in self.ready if pair.against]
        texts = [
            f"{self.wins} of {len(self.ready)} comparisons as claimed, {self.sure} significantly; "
            f"{len(against)} significantly against",
            f"{undecided} of one seed or without spread, of which nothing can be said" if undecided else "",
            self.lacking,
            *map(_named, against[:3]),
        ]
        return "; ".join(filter(None, texts))

    @property
    def lacking(self) -> str:
        return f"{self.missing} comparisons lack runs" if self.missing else ""


def pairs(order: Sequence[str], cells: Sequence[Filled], others: Sequence[str] = ()) -> Pairs:
    """Compare, in every task, each optimizer of `order` with the next; a single one with all others, or with `others`.

    order: names, also with values of their own (`sing denominator=eps`). Pairs of one metric that are made of the same
    runs, since a small scale maps their cells onto one, are one comparison; its effect in the paper is their mean.
    """
    found = []
    for group in grouped((cell.cell.task, cell) for cell in cells).values():
        named = {name: cell for cell in reversed(group) for name in (variant(cell.cell), _optimizer(cell))}
        if len(order) > 1:
            found += [(named[a], named[b]) for a, b in pairwise(order) if a in named and b in named]
        elif order[0] in named:
            beside = [cell for cell in group if _optimizer(cell) != order[0]]
            found += [(named[order[0]], cell) for cell in beside if not others or _optimizer(cell) in others]
    complete = (pair for pair in found if all(cell.complete for cell in pair))
    same = list(grouped(((pair[0].cell.metric, *_runs(*pair)), pair) for pair in complete).values())
    ready = [pairs[0] for pairs in same]
    tests = [welch(a.summary, b.summary) for a, b in ready]
    effects = [_mean(_effect(a, b) for a, b in pairs) for pairs in same]
    usual = _mean(effects)
    parts = zip(ready, tests, holm([test.p for test in tests]), effects, strict=True)
    made = [
        Pair(a, b, better(a.cell.metric) * test.difference, test, p, effect if isfinite(effect) else usual)
        for (a, b), test, p, effect in parts
    ]
    return Pairs(made, len(found) - sum(map(len, same)))


def _runs(*cells: Filled) -> tuple[str, ...]:
    return tuple(str(row["id"]) for cell in cells for row in cell.runs) or tuple(
        f"{cell.cell.row_label} {cell.cell.column_label}" for cell in cells
    )


def _optimizer(cell: Filled) -> str:
    return str(cell.cell.coordinates.get("optimizer"))


def variant(cell: Cell) -> str:
    """Return an optimizer with its own values in the table: `sing denominator=eps`."""
    keys = (key for key in cell.coordinates if key.startswith("optimizer."))
    return " ".join(
        [str(cell.coordinates.get("optimizer")), *(grammar.word(key, cell.coordinates[key])[10:] for key in keys)]
    )


def _mean(effects: Iterable[float]) -> float:
    known = [effect for effect in effects if isfinite(effect)]
    return fmean(known) if known else nan


def _effect(a: Filled, b: Filled) -> float:
    ours, theirs = printed(a), printed(b)
    return abs(ours.mean - theirs.mean) if ours and theirs else nan


def place(cell: Filled) -> str:
    """Return a cell's data set and net, those that it names."""
    return " ".join(str(cell.cell.coordinates[key]) for key in ("data", "model") if key in cell.cell.coordinates)


def _named(pair: Pair) -> str:
    names = [
        f"{proper(str(c.cell.coordinates.get('optimizer')))} {fixed(c.summary.mean, c.cell.metric)}"
        for c in (pair.first, pair.second)
    ]
    return f"against: {' below '.join(names)} in {place(pair.first) or pair.second.cell.row_label}"


def seeds_needed(pairs: list[Pair]) -> str:
    """Say how many seeds the comparisons that cannot show the paper's difference would take."""
    weak = [pair for pair in pairs if pair.weak]
    seeds = [pair.needed() for pair in weak]
    kind = "the paper's difference" if any(isfinite(pair.effect) for pair in weak) else "a difference of the size seen"
    most = f"over {MOST}" if any(map(isnan, seeds)) else f"{max(seeds):.0f}"
    return f"; {len(weak)} cannot show {kind} with 80 % power: that would take {most} seeds a side"
