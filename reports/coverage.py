"""Where each published number is shown, or why it is not."""

import re
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

from conf import yamls
from papers import table as tables
from papers.published import Published, numbers
from reports.cells import Result

REASONS = Path(tables.__file__).parent / "coverage.yaml"
UNEXPLAINED = "no table and no reason"


def shown() -> dict[int, tuple[str, str, str]]:
    """Return, for each published number that a table shows (by its line), the first such table, row and column."""
    places: dict[int, tuple[str, str, str]] = {}
    for table in map(tables.load, tables.names()):
        for cell in table.cells() if table.has_runs else []:
            number = table.published(cell)
            if number is not None:
                places.setdefault(number.line, (table.name, cell.row_label, cell.column_label))
    return places


@lru_cache
def _reasons() -> list[dict[str, str]]:
    return yamls.load(REASONS) or []


def reason(number: Published) -> str:
    """Return why a published number is in no table."""
    for entry in _reasons():
        if all(str(getattr(number, key)) == value for key, value in entry.items() if key != "reason"):
            return entry["reason"]
    return UNEXPLAINED


def coverage(results: list[Result]) -> list[dict[str, Any]]:
    """Return one line for each published number: its place and the verdict there, or the reason why it has none."""
    verdicts = {
        (result.table.name, cell.cell.row_label, cell.cell.column_label): cell.verdict_text
        for result in results
        if result.scale == "paper"
        for cell in result.cells
    }
    places = shown()
    lines = []
    for number in numbers():
        place = places.get(number.line, ("", "", ""))
        about = {key: getattr(number, key) for key in ("line", "paper", "table", "dataset", "model", "optimizer")}
        about |= {key: getattr(number, key) for key in ("setting", "metric", "mean", "std", "n", "source")}
        state = verdicts.get(place, "not run") if place[0] else f"not covered: {reason(number)}"
        lines.append(about | dict(zip(("shown_in", "row", "column"), place, strict=True)) | {"state": state})
    return lines


def by_table(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count the published numbers of each paper's table by state, counts within a state summed."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in lines:
        groups.setdefault((line["paper"], line["table"]), []).append(line)
    counted = []
    for (paper, table), members in groups.items():
        states = Counter(re.sub(r" (\(\d+ of \d+\)|\d+ of \d+)$", "", line["state"]) for line in members)
        where = ", ".join(sorted({line["shown_in"] for line in members if line["shown_in"]})) or "–"
        text = "; ".join(f"{count} {state}" for state, count in sorted(states.items()))
        counted.append({"paper": paper, "table": table, "numbers": len(members), "shown in": where, "state": text})
    return counted
