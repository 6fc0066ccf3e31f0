"""The papers' claims, judged on the store at hand and on the papers' own numbers.

A difference counts where Welch's test, Holm-adjusted over the claim's comparisons, has p < 0.05. Verdicts:

    supported        every comparison in the claimed direction, all of them significant
    in line          every comparison in the claimed direction, not all significant
    mixed            some level or against the claimed direction, none significantly
    contradicted     at least one significantly against it
    open             runs are missing
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, product
from math import isfinite, isnan, nan
from pathlib import Path
from statistics import median
from typing import Any

from conf import yamls
from papers import table as tables
from reports.cells import Filled, Result, better, score
from reports.layout import fixed
from reports.runs import device
from reports.statistics import ALPHA, Summary, holm, welch

Claim = dict[str, Any]
SUPPORTED, IN_LINE, MIXED, CONTRADICTED, OPEN = "supported", "in line", "mixed", "contradicted", "open"


@dataclass(frozen=True)
class Judged:
    """A claim and what one table at one scale says of it; printed: the same test on the paper's own means."""

    claim: Claim
    scale: str
    verdict: str
    evidence: str
    printed: str = ""


@lru_cache
def claims() -> list[Claim]:
    """Return papers/claims.yaml."""
    return yamls.load(Path(tables.__file__).parent / "claims.yaml")


def judge(results: list[Result]) -> list[Judged]:
    """Judge every claim at `paper` scale and, apart and labelled, at `cpu` scale where it has anything to say.

    Two steps on made-up data say nothing of a claim, so `smoke` is left out.
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
    printed = TESTS[claim["test"]](claim, _printed(cells))[1] if claim["test"] in ON_PRINTED else ""
    label = result.scale + (
        ", made-up data" if result.made_up else ", re-creation" if result.table.spec["recreation"] else ""
    )
    return Judged(claim, label, verdict, evidence, printed)


def _counts(cell: Filled, where: dict[str, Any]) -> bool:
    place = cell.cell.coordinates | {"metric": cell.cell.metric}
    return all(place.get(key) == value for key, value in where.items())


def _printed(cells: list[Filled]) -> list[Filled]:
    """Put the published numbers in the place of ours."""
    known = [cell for cell in cells if cell.published is not None and cell.published.mean is not None]
    return [replace(cell, summary=_theirs(cell), values=[nan] * cell.planned, runs=[]) for cell in known]


def _theirs(cell: Filled) -> Summary:
    number = cell.published
    assert number is not None
    return Summary(number.mean or 0.0, nan if number.std is None else number.std, number.n or 1)


def _pairs(claim: Claim, cells: list[Filled]) -> tuple[list[tuple[Filled, Filled]], int]:
    """Return the pairs (claimed higher, claimed lower) that have numbers, and how many have none."""
    by_task: dict[Any, dict[str, Filled]] = {}
    for cell in cells:
        by_task.setdefault(cell.cell.task, {}).setdefault(str(cell.cell.coordinates.get("optimizer")), cell)
    order = claim["order"]
    pairs = []
    for task in by_task.values():
        steps = pairwise(order) if len(order) > 1 else ((order[0], other) for other in task if other != order[0])
        pairs += [(task[a], task[b]) for a, b in steps if a in task and b in task]
    ready = [(a, b) for a, b in pairs if a.complete and b.complete]
    return ready, len(pairs) - len(ready)


def _order(claim: Claim, cells: list[Filled]) -> tuple[str, str]:
    ready, missing = _pairs(claim, cells)
    if not ready:
        return OPEN, f"none of {missing} comparisons can be made" if missing else "no such cells"
    gains, p = _gains(ready)
    wins, sure = _wins(gains, p)
    against = [pair for pair, gain, value in zip(ready, gains, p, strict=True) if gain < 0 and value < ALPHA]
    text = f"{wins} of {len(ready)} comparisons as claimed, {sure} significantly; {len(against)} significantly against"
    dumb = sum(map(isnan, p))
    texts = [text, f"{dumb} of one seed or without spread, of which nothing can be said" if dumb else ""]
    texts += [f"{missing} comparisons lack runs" if missing else "", *map(_named, against[:3])]
    return _verdict(claim, gains, sure, bool(against), bool(missing)), "; ".join(filter(None, texts))


def _gains(ready: list[tuple[Filled, Filled]]) -> tuple[list[float], list[float]]:
    """Return by how much the first of each pair is better, and the p-values, Holm-adjusted."""
    tests = [welch(a.summary, b.summary) for a, b in ready]
    gains = [better(a.cell.metric) * test.difference for (a, _), test in zip(ready, tests, strict=True)]
    return gains, holm([test.p for test in tests])


def _wins(gains: list[float], p: list[float]) -> tuple[int, int]:
    return sum(gain > 0 for gain in gains), sum(g > 0 and value < ALPHA for g, value in zip(gains, p, strict=True))


def _unsystematic(claim: Claim, cells: list[Filled]) -> tuple[str, str]:
    """One task where the first is not above shows it; the first above everywhere, significantly, refutes it."""
    ready, missing = _pairs(claim, cells)
    gains, p = _gains(ready)
    wins, sure = _wins(gains, p)
    text = f"{claim['order'][0]} above in {wins} of {len(ready)} comparisons, {sure} significantly"
    if wins < len(ready):
        return SUPPORTED, text
    if missing or not ready:
        return OPEN, f"{text}; {missing} comparisons lack runs"
    return CONTRADICTED if sure == len(ready) else MIXED, text


def _verdict(claim: Claim, gains: list[float], sure: int, against: bool, missing: bool) -> str:
    if against:
        return CONTRADICTED
    if missing:
        return OPEN
    if claim["test"] == "at_least":
        return SUPPORTED if min(gains) >= 0 else IN_LINE
    if sure == len(gains):
        return SUPPORTED
    return IN_LINE if min(gains) > 0 else MIXED


def _named(pair: tuple[Filled, Filled]) -> str:
    a, b = pair
    names = [f"{c.cell.coordinates.get('optimizer')} {fixed(c.summary.mean, c.cell.metric)}" for c in pair]
    return f"against: {' below '.join(names)} in {' '.join(a.cell.task) or b.cell.row_label}"


def _ratio(claim: Claim, cells: list[Filled]) -> tuple[str, str]:
    """Compare a field of the runs, on one device at a time: medians over seeds."""
    ready, missing = _pairs(claim, cells)
    ratios = [ratio for a, b in ready for ratio in _field_ratios(a, b, claim["field"])]
    if not ratios:
        return OPEN, f"no two cells with {claim['field']} taken on one device"
    text = f"ratio {min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} comparisons"
    return _within(claim, ratios, bool(missing)), text + (f"; {missing} comparisons lack runs" if missing else "")


def _field_ratios(a: Filled, b: Filled, field: str) -> Iterable[float]:
    values = [_by_device(cell, field) for cell in (a, b)]
    for machine in sorted(values[0].keys() & values[1].keys()):
        yield median(values[0][machine]) / median(values[1][machine])


def _by_device(cell: Filled, field: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for row in cell.runs:
        if row.get(field):
            found.setdefault(device(row), []).append(float(row[field]))
    return found


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
