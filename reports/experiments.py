"""Every table and figure of the papers, as papers/coverage.yaml lists them: what makes it, and its state in a store."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf import yamls
from papers import table as tables
from papers.published import Published
from papers.table import SCALES

if TYPE_CHECKING:
    from reports.cells import Result

UNEXPLAINED = "no table and no reason"
COMMANDS = {
    "tables": "python -m sweep run",
    "looked_up": "python -m reports tables",
    "analyses": "python -m reports analyse",
    "cpu": "cpu: python -m sweep run",
}
Line = dict[str, Any]


@lru_cache
def listed() -> dict[str, list[Line]]:
    """Return papers/coverage.yaml: `experiments`, one for each table or figure, and `numbers` without a cell."""
    found: dict[str, list[Line]] = yamls.load(Path(tables.__file__).parent / "coverage.yaml")
    return found


def reason(number: Published) -> str:
    """Return why a published number is in no table."""
    for entry in [*listed()["numbers"], *listed()["experiments"]]:
        if entry["paper"] == number.paper and number.table in entry.get("printed", ()):
            return str(entry.get("reason", UNEXPLAINED))
    return UNEXPLAINED


def by_experiment(results: "Sequence[Result]", numbers: list[Line]) -> list[Line]:
    """Return a line for each experiment: its place, what it shows, its state at each scale, commands, numbers, reason.

    A state is how many cells of its tables are complete, `runs` for an analysis, and empty where it does not run.
    numbers: what `published.coverage` returns; those that are printed there are counted by state.
    """
    complete = {(result.table.name, result.scale): sum(cell.complete for cell in result.cells) for result in results}
    return [
        {key: entry[key] for key in ("paper", "place", "shows")}
        | {f"at {scale} scale": _state(entry, scale, complete) for scale in SCALES}
        | {"commands": "; ".join(f"{words} {name}" for key, words in COMMANDS.items() for name in entry.get(key, []))}
        | {"numbers": _counted(entry, numbers)}
        | {"reason": entry.get("reason", "")}
        for entry in listed()["experiments"]
    ]


def _state(entry: Line, scale: str, complete: dict[tuple[str, str], int]) -> str:
    if scale not in entry.get("scales", SCALES):
        return ""
    names = (entry.get("cpu") if scale == "cpu" else None) or entry.get("tables", [])
    done = sum(complete.get((name, scale), 0) for name in names)
    return f"{done} of {sum(len(tables.load(name).cells(scale)) for name in names)}" if names else "runs"


def _counted(entry: Line, numbers: list[Line]) -> str:
    """Count the published numbers of an experiment by state, counts within a state summed."""
    printed = {(entry["paper"], table) for table in entry.get("printed", ())}
    found = (line["state"] for line in numbers if (line["paper"], line["table"]) in printed)
    states = Counter(re.sub(r" (\(\d+ of \d+\)|\d+ of \d+)$", "", state) for state in found)
    return "; ".join(f"{count} {state}" for state, count in sorted(states.items()))
