"""Where the references of wall-clock budgets lie, and how long their epochs took: runs, in a store for each machine."""

import math
import platform
from pathlib import Path
from typing import Any

from record.files import read_json
from record.identity import complete, run_folder, run_id
from record.provenance import environment
from record.read import read_result, run_folders

_FOLDER = ".references"


def reference_store(store: Path | str, facts: dict[str, Any]) -> Path:
    """Return the store of this machine's references. facts: device, gpu and threads."""
    here = environment()
    return Path(store, _FOLDER, run_id({"host": here["host"], "cpu": here["cpu"], **facts}))


def epoch_seconds(config: dict[str, Any]) -> float | None:
    """Return a reference's median epoch in seconds, None if it has not been run.

    Raises ValueError, one line, for a reference that has diverged, and for a result that is torn or gives no time.
    """
    folder = run_folder(config["paths"]["store"], complete(config))
    result = read_result(folder)
    if result is None:
        return None
    if result.get("state") != "done":
        raise ValueError(f"budget.reference: its run has {result.get('state')}, and gives no time; see {folder}")
    try:
        return _positive(result["time"]["epoch_seconds"]["median"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / 'result.json'}: no time of an epoch ({error}); delete the folder") from error


def fixed_seconds(config: dict[str, Any]) -> float | None:
    """Return the seconds that a run was given when it first started, None if it never was."""
    try:
        attempts = read_json(run_folder(config["paths"]["store"], complete(config)) / "environment.json")["attempts"]
        return next((_positive(a["budget_seconds"]) for a in attempts if "budget_seconds" in a), None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measured(store: Path | str, threads: int) -> set[str]:
    """Return the ids of the references that are finished on this machine with so many threads."""
    found = set()
    for place in Path(store, _FOLDER).glob("*"):
        for folder in run_folders(place):
            try:
                result = read_result(folder)
            except ValueError:  # damaged: whoever needs it says so
                continue
            if result and result["machine"].get("host") == platform.node():
                found |= {result["id"]} if result["platform"]["threads"] == threads else set()
    return found


def _positive(seconds: Any) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise ValueError(f"{seconds!r} is no number of seconds")
    return float(seconds)
