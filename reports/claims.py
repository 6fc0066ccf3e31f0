"""The papers' claims, judged on the store at hand and on the papers' own numbers.

A difference counts where Welch's test, Holm-adjusted over the claim's comparisons, has p < 0.05. Verdicts:

    supported             every comparison as claimed, and significantly so
    contradicted          at least one significantly the other way
    mixed                 some significantly as claimed; the others would have shown a difference of the paper's size
    no difference found   none significant, though each would have shown the paper's difference with 80 % power
    inconclusive          some not significant, and too few seeds for the paper's difference: it says how many it takes
    open                  runs are missing

A claim names the tables that can test it: `table` at the scales paper and cpu, or `tables: {scale: [names]}`, where any
other word in the place of a scale is a label.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import isfinite, nan
from pathlib import Path
from statistics import fmean, median
from typing import Any

from conf import yamls
from papers import table as tables
from reports.cells import Filled, Result, printed, score
from reports.logged import last
from reports.pairs import Pairs, pairs, seeds_needed
from reports.runs import device, grouped, proper
from reports.statistics import ALPHA, POWER, pooled

Claim = dict[str, Any]
SUPPORTED, CONTRADICTED, MIXED = "supported", "contradicted", "mixed"
NO_DIFFERENCE, INCONCLUSIVE, OPEN = "no difference found", "inconclusive", "open"
ORDER = (SUPPORTED, CONTRADICTED, MIXED, NO_DIFFERENCE, INCONCLUSIVE, OPEN)  # as the page has them
Found = tuple[str, str]  # a verdict and its evidence


@dataclass(frozen=True)
class Judged:
    """A claim and its verdict at one scale; printed: the same test on the paper's own means."""

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


def tables_of(claim: Claim) -> dict[str, list[str]]:
    """Return the names of the tables that test a claim, by scale; `smoke` supports or refutes nothing."""
    named = {"paper": claim["table"], "cpu": claim["table"]} if "table" in claim else {}
    return {
        scale: [names] if isinstance(names, str) else list(names)
        for scale, names in (named | claim.get("tables", {})).items()
    }


def judge(results: Sequence[Result]) -> list[Judged]:
    """Judge every claim at each scale at which it is not open, or once where it is open at all; decided ones first."""
    judged: list[Judged] = []
    for claim in claims():
        found = []
        for scale, names in tables_of(claim).items():
            named = [result for result in results if result.table.name in names]
            mine = [result for result in named if scale not in tables.SCALES or result.scale == scale]
            found += [_judged(claim, scale, mine)] if mine else []
        judged += [one for one in found if one.verdict != OPEN] or found[:1] or [_unfilled(claim)]
    return sorted(judged, key=lambda one: ORDER.index(one.verdict))


def _unfilled(claim: Claim) -> Judged:
    names = sorted({name for names in tables_of(claim).values() for name in names})
    return Judged(claim, "paper", OPEN, f"table {', '.join(names)} was not filled")


def _judged(claim: Claim, scale: str, results: Sequence[Result]) -> Judged:
    cells = [cell for result in results for cell in result.cells if _counts(cell, claim.get("where", {}))]
    verdict, evidence = TESTS[claim["test"]](claim, cells)
    theirs = TESTS[claim["test"]](claim, _printed(cells))[1] if claim["test"] in ON_PRINTED else ""
    kinds = [label for result in results for label in result.labels if not label.startswith("scale ")]
    return Judged(claim, ", ".join(dict.fromkeys([scale, *kinds])), verdict, evidence, theirs)


def _counts(cell: Filled, where: dict[str, Any]) -> bool:
    place = cell.cell.coordinates | {"metric": cell.cell.metric}
    return all(place.get(key) in (value if isinstance(value, list) else [value]) for key, value in where.items())


def _printed(cells: list[Filled]) -> list[Filled]:
    """Put the published numbers in the place of ours."""
    known = [(cell, theirs) for cell in cells if (theirs := printed(cell)) is not None]
    return [replace(cell, summary=theirs, values=[nan] * cell.planned, runs=[]) for cell, theirs in known]


def _order(claim: Claim, cells: list[Filled]) -> Found:
    found = pairs(claim["order"], cells, claim.get("others", ()))
    if not found.ready:
        return OPEN, f"none of {found.missing} comparisons can be made" if found.missing else "no such cells"
    verdict = _verdict(claim, found)
    return verdict, found.count() + (seeds_needed(found.ready) if verdict == INCONCLUSIVE and found.ours else "")


def _verdict(claim: Claim, found: Pairs) -> str:
    if any(pair.against for pair in found.ready):
        return CONTRADICTED
    if found.missing:
        return OPEN
    if any(pair.weak for pair in found.ready):
        return INCONCLUSIVE
    if found.sure == len(found.ready) or claim["test"] == "at_least":
        return SUPPORTED
    return MIXED if found.sure else NO_DIFFERENCE


def _unsystematic(claim: Claim, cells: list[Filled]) -> Found:
    """A significant mean gain over the tasks refutes it; where there is none, the power has to have been there."""
    found = pairs(claim["order"], cells)
    text = f"above in {found.wins} of {len(found.ready)} comparisons, {found.sure} significantly"
    if found.missing or not found.ready:
        return OPEN, f"{text}; {found.missing} comparisons lack runs"
    signed = [replace(pair.test, difference=pair.gain) for pair in found.ready]
    mean, effect = pooled(signed), fmean(pair.effect for pair in found.ready)
    text += f"; mean gain {mean.difference:+z.2f}, p {mean.p:.2g}"
    if mean.p < ALPHA:
        return (CONTRADICTED if mean.difference > 0 else SUPPORTED), text
    if mean.power(effect) >= POWER:
        return SUPPORTED, text
    return INCONCLUSIVE, text + (seeds_needed([replace(pair, p=nan) for pair in found.ready]) if found.ours else "")


def _growing(claim: Claim, cells: list[Filled]) -> Found:
    """Is the lead of the first larger in the last task than in the first?"""
    found = pairs(claim["order"], cells)
    if found.missing or len(found.ready) < 2:
        return OPEN, found.lacking or "fewer than two comparisons can be made"
    first, last = found.ready[0], found.ready[-1]
    mean = pooled([replace(first.test, difference=-first.gain), replace(last.test, difference=last.gain)])
    text = f"its lead is {first.gain:+z.2f} in the first, {last.gain:+z.2f} in the last; p {mean.p:.2g}"
    if mean.p < ALPHA:
        return (SUPPORTED if mean.difference > 0 else CONTRADICTED), text
    return INCONCLUSIVE, text


def _ratio(claim: Claim, cells: list[Filled]) -> Found:
    """Compare a field of the runs, or what a probe wrote last: medians over seeds, of times on one device at a time."""
    found = pairs(claim["order"], cells)
    ratios = [ratio for pair in found.ready for ratio in _field_ratios(pair.first, pair.second, claim["field"])]
    if not ratios:
        alone = " taken on one device, by runs that had it to themselves" if _is_time(claim["field"]) else ""
        return OPEN, f"no two cells with {claim['field']}{alone}"
    text = f"ratio {min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} comparisons"
    return _within(claim, ratios, bool(found.missing)), "; ".join(filter(None, [text, found.lacking]))


def _field_ratios(a: Filled, b: Filled, field: str) -> list[float]:
    one, other = (grouped(_measured(cell, field)) for cell in (a, b))
    return [median(one[machine]) / median(other[machine]) for machine in sorted(one.keys() & other.keys())]


def _measured(cell: Filled, field: str) -> Iterator[tuple[str, float]]:
    """Yield a device, of a time alone, and the value of each run that counts."""
    for row in cell.runs:
        value = last(row, *field.split(".")[1:]) if field.startswith("probe.") else row.get(field)
        if value and not (_is_time(field) and row.get("shared")):
            yield device(row) if _is_time(field) else "", float(value)


def _is_time(field: str) -> bool:
    return field.startswith("time.")


def _within(claim: Claim, ratios: list[float], missing: bool) -> str:
    low, high = claim["between"]
    inside = sum(low <= ratio <= high for ratio in ratios)
    if inside == len(ratios):
        return OPEN if missing else SUPPORTED
    return MIXED if inside else CONTRADICTED


def _best_value(claim: Claim, cells: list[Filled]) -> Found:
    best: list[list[float]] = []
    for name in claim["order"]:
        mine = [cell for cell in cells if cell.cell.coordinates.get("optimizer") == name]
        done = [cell for cell in mine if cell.complete and isfinite(cell.summary.mean)]
        if not mine or len(done) < len(mine):
            return OPEN, f"{name}: {len(done)} of {len(mine)} values of {claim['key']} have runs"
        top = max(map(score, done))
        best.append([float(cell.cell.coordinates[claim["key"]]) for cell in done if score(cell) == top])
    values = ", ".join(
        f"{proper(name)} {' or '.join(f'{value:g}' for value in tied)}"
        for name, tied in zip(claim["order"], best, strict=True)
    )
    ratios = [one / other for one, other in product(best[0], best[1])]
    shown = " or ".join(f"{ratio:.3g}" for ratio in ratios)
    return _within(claim, ratios, False), f"best {claim['key']}: {values}; ratio {shown}"


TESTS: dict[str, Callable[[Claim, list[Filled]], Found]] = {
    "above": _order, "best": _order, "at_least": _order, "unsystematic": _unsystematic, "growing": _growing,
    "ratio": _ratio, "best_value": _best_value,
}  # fmt: skip
ON_PRINTED = ("above", "best", "at_least", "unsystematic")
