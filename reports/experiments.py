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

FILE = Path(tables.__file__).parent / "coverage.yaml"
UNEXPLAINED = "no table and no reason"
Line = dict[str, Any]


@lru_cache
def _file() -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = yamls.load(FILE)
    return found


def experiments() -> list[Line]:
    """Return the file's entries, one for each table or figure of a paper."""
    return _file()["experiments"]


def reason(number: Published) -> str:
    """Return why a published number is in no table."""
    for entry in _file()["numbers"]:
        if (number.paper, number.table) == (entry["paper"], entry["table"]):
            return str(entry["reason"])
    for entry in experiments():
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
        | {"commands": "; ".join(_commands(entry)), "numbers": _counted(entry, numbers)}
        | {"reason": entry.get("reason", "")}
        for entry in experiments()
    ]


def _state(entry: Line, scale: str, complete: dict[tuple[str, str], int]) -> str:
    if scale not in entry.get("scales", SCALES):
        return ""
    names = (entry.get("cpu") if scale == "cpu" else None) or entry.get("tables", [])
    if not names:
        return "runs"
    if not any(tables.load(name).has_runs for name in names):
        return "complete"  # hyper-parameters, which are looked up
    done = sum(complete.get((name, scale), 0) for name in names)
    return f"{done} of {sum(len(tables.load(name).cells(scale)) for name in names)}"


def _commands(entry: Line) -> list[str]:
    looked_up = [name for name in entry.get("tables", []) if not tables.load(name).has_runs]
    return [
        *(f"python -m sweep run {name}" for name in entry.get("tables", []) if name not in looked_up),
        *(f"python -m reports tables {name}" for name in looked_up),
        *(f"python -m reports analyse {name}" for name in entry.get("analyses", [])),
        *(f"cpu: python -m sweep run {name}" for name in entry.get("cpu", [])),
    ]


def _counted(entry: Line, numbers: list[Line]) -> str:
    """Count the published numbers of an experiment by state, counts within a state summed."""
    printed = [
        line for line in numbers if line["paper"] == entry["paper"] and line["table"] in entry.get("printed", ())
    ]
    states = Counter(re.sub(r" (\(\d+ of \d+\)|\d+ of \d+)$", "", line["state"]) for line in printed)
    return "; ".join(f"{count} {state}" for state, count in sorted(states.items()))
