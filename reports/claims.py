"""The papers' claims, judged on the store at hand and on the papers' own numbers.

A difference counts where Welch's test, Holm-adjusted over the claim's comparisons, has p < 0.05. Verdicts:

    supported        every comparison in the claimed direction, all of them significant
    in line          every comparison in the claimed direction, not all significant
    mixed            some level or against the claimed direction, none significantly
    contradicted     at least one significantly against it
    open             runs are missing
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, product
from math import isfinite, isnan, nan
from pathlib import Path
from statistics import median
from typing import Any

from conf import yamls
from papers import table as tables
from reports.cells import Filled, Result, better, printed, score
from reports.layout import fixed
from reports.runs import device, grouped
from reports.statistics import ALPHA, holm, welch

Claim = dict[str, Any]
SUPPORTED, IN_LINE, MIXED, CONTRADICTED, OPEN = "supported", "in line", "mixed", "contradicted", "open"


@dataclass(frozen=True)
class Judged:
    """A claim and its verdict by one table at one scale; printed: the same test on the paper's own means."""

    claim: Claim
    scale: str
    verdict: str
    evidence: str
    printed: str = ""


@lru_cache
def claims() -> list[Claim]:
    """Return papers/claims.yaml."""
    found: list[Claim] = yamls.load(Path(tables.__file__).parent / "claims.yaml")
    return found


def judge(results: list[Result]) -> list[Judged]:
    """Judge every claim at `paper` scale and, apart and labelled, at `cpu` scale where it is not open.

    Two steps on synthetic data cannot support or refute a claim, so `smoke` is left out.
    """
    judged = []
    for claim in claims():
        mine = [result for result in results if result.table.name == claim["table"] and result.scale != "smoke"]
        found = [_judged(claim, result) for result in mine]
        kept = [one for one in found if one.scale == "paper" or one.verdict != OPEN]
        judged += kept or [Judged(claim, "paper", OPEN, f"table {claim['table']} was not filled")]
    return judged


def _judged(claim: Claim, result: Result) -> Judged:
    cells = [cell for cell in result.cells if _counts(cell, claim.get("where", {}))]
    verdict, evidence = TESTS[claim["test"]](claim, cells)
    theirs = TESTS[claim["test"]](claim, _printed(cells))[1] if claim["test"] in ON_PRINTED else ""
    kind = "synthetic data" if result.synthetic else "re-creation" if result.table.spec["recreation"] else ""
    return Judged(claim, ", ".join(filter(None, [result.scale, kind])), verdict, evidence, theirs)


def _counts(cell: Filled, where: dict[str, Any]) -> bool:
    place = cell.cell.coordinates | {"metric": cell.cell.metric}
    return all(place.get(key) == value for key, value in where.items())


def _printed(cells: list[Filled]) -> list[Filled]:
    """Put the published numbers in the place of ours."""
    known = [(cell, theirs) for cell in cells if (theirs := printed(cell)) is not None]
    return [replace(cell, summary=theirs, values=[nan] * cell.planned, runs=[]) for cell, theirs in known]


@dataclass(frozen=True)
class Pairs:
    """The comparisons of a claim: pairs (claimed higher, claimed lower) that have numbers, and how many have none.

    gains: by how much the first of each pair is better; p: of these, Holm-adjusted.
    """

    ready: list[tuple[Filled, Filled]]
    missing: int
    gains: list[float]
    p: list[float]

    @property
    def wins(self) -> int:
        return sum(gain > 0 for gain in self.gains)

    @property
    def sure(self) -> int:
        """How many are as claimed, and significantly so."""
        return sum(gain > 0 and p < ALPHA for gain, p in zip(self.gains, self.p, strict=True))

    @property
    def against(self) -> list[tuple[Filled, Filled]]:
        """Those that are significantly the other way."""
        every = zip(self.ready, self.gains, self.p, strict=True)
        return [pair for pair, gain, p in every if gain < 0 and p < ALPHA]

    @property
    def lacking(self) -> str:
        return f"{self.missing} comparisons lack runs" if self.missing else ""


def _pairs(claim: Claim, cells: list[Filled]) -> Pairs:
    order, pairs = claim["order"], []
    for group in grouped((cell.cell.task, cell) for cell in cells).values():
        task = {str(cell.cell.coordinates.get("optimizer")): cell for cell in reversed(group)}
        steps = pairwise(order) if len(order) > 1 else ((order[0], other) for other in task if other != order[0])
        pairs += [(task[a], task[b]) for a, b in steps if a in task and b in task]
    ready = [(a, b) for a, b in pairs if a.complete and b.complete]
    tests = [welch(a.summary, b.summary) for a, b in ready]
    gains = [better(a.cell.metric) * test.difference for (a, _), test in zip(ready, tests, strict=True)]
    return Pairs(ready, len(pairs) - len(ready), gains, holm([test.p for test in tests]))


def _order(claim: Claim, cells: list[Filled]) -> tuple[str, str]:
    found = _pairs(claim, cells)
    if not found.ready:
        return OPEN, f"none of {found.missing} comparisons can be made" if found.missing else "no such cells"
    undecided = sum(map(isnan, found.p))
    texts = [
        f"{found.wins} of {len(found.ready)} comparisons as claimed, {found.sure} significantly; "
        f"{len(found.against)} significantly against",
        f"{undecided} of one seed or without spread, of which nothing can be said" if undecided else "",
        found.lacking,
        *map(_named, found.against[:3]),
    ]
    return _verdict(claim, found), "; ".join(filter(None, texts))


def _verdict(claim: Claim, found: Pairs) -> str:
    least = min(found.gains)
    if found.against:
        return CONTRADICTED
    if found.missing:
        return OPEN
    if claim["test"] == "at_least":
        return SUPPORTED if least >= 0 else IN_LINE
    return SUPPORTED if found.sure == len(found.gains) else IN_LINE if least > 0 else MIXED


def _unsystematic(claim: Claim, cells: list[Filled]) -> tuple[str, str]:
    """One task where the first is not above shows it; the first above everywhere, significantly, refutes it."""
    found = _pairs(claim, cells)
    every = len(found.ready)
    text = f"{claim['order'][0]} above in {found.wins} of {every} comparisons, {found.sure} significantly"
    if found.wins < every:
        return SUPPORTED, text
    if found.missing or not every:
        return OPEN, f"{text}; {found.missing} comparisons lack runs"
    return CONTRADICTED if found.sure == every else MIXED, text


def _named(pair: tuple[Filled, Filled]) -> str:
    a, b = pair
    names = [f"{c.cell.coordinates.get('optimizer')} {fixed(c.summary.mean, c.cell.metric)}" for c in pair]
    return f"against: {' below '.join(names)} in {' '.join(a.cell.task) or b.cell.row_label}"


def _ratio(claim: Claim, cells: list[Filled]) -> tuple[str, str]:
    """Compare a field of the runs, on one device at a time: medians over seeds."""
    found = _pairs(claim, cells)
    ratios = [ratio for a, b in found.ready for ratio in _field_ratios(a, b, claim["field"])]
    if not ratios:
        return OPEN, f"no two cells with {claim['field']} taken on one device"
    text = f"ratio {min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} comparisons"
    return _within(claim, ratios, bool(found.missing)), "; ".join(filter(None, [text, found.lacking]))


def _field_ratios(a: Filled, b: Filled, field: str) -> list[float]:
    one, other = (grouped((device(row), float(row[field])) for row in cell.runs if row.get(field)) for cell in (a, b))
    return [median(one[machine]) / median(other[machine]) for machine in sorted(one.keys() & other.keys())]


def _within(claim: Claim, ratios: list[float], missing: bool) -> str:
    low, high = claim["between"]
    inside = sum(low <= ratio <= high for ratio in ratios)
    if inside == len(ratios):
        return OPEN if missing else SUPPORTED
    return MIXED if inside else CONTRADICTED


def _best_value(claim: Claim, cells: list[Filled]) -> tuple[str, str]:
    best: list[list[float]] = []
    for name in claim["order"]:
        mine = [cell for cell in cells if cell.cell.coordinates.get("optimizer") == name]
        done = [cell for cell in mine if cell.complete and isfinite(cell.summary.mean)]
        if not mine or len(done) < len(mine):
            return OPEN, f"{name}: {len(done)} of {len(mine)} values of {claim['key']} have runs"
        top = max(map(score, done))
        best.append([float(cell.cell.coordinates[claim["key"]]) for cell in done if score(cell) == top])
    values = ", ".join(
        f"{name} {' or '.join(f'{value:g}' for value in tied)}" for name, tied in zip(claim["order"], best, strict=True)
    )
    ratios = [one / other for one, other in product(best[0], best[1])]
    shown = " or ".join(f"{ratio:.3g}" for ratio in ratios)
    return _within(claim, ratios, False), f"best {claim['key']}: {values}; ratio {shown}"


TESTS: dict[str, Callable[[Claim, list[Filled]], tuple[str, str]]] = {
    "above": _order, "best": _order, "at_least": _order, "unsystematic": _unsystematic,
    "ratio": _ratio, "best_value": _best_value,
}  # fmt: skip
ON_PRINTED = ("above", "best", "at_least", "unsystematic")
