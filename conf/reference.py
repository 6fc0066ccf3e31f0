"""Which run measures a wall-clock budget (RMSGD, Section 5.1): the time of its epochs is the budget of all. Torch-free.

It is an ordinary run of a few epochs, of the reference optimizer as `tuned` has it, on the same data, net and batch.
Where it lies and what it took: record/reference.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conf import groups
from conf.groups import root

EPOCHS = 4  # the first warms up and is not counted
OWN = ("optimizer", "schedule", "budget", "seed", "target", "probe", "logger", "selection", "evaluate", "keep")
KEPT = ("device", "threads", "workers", "checkpoint", "traceback", "world_size")  # how the timed run is run


def words(line: Sequence[str], optimizer: str) -> list[str]:
    """Return the command line of the reference of a run with this `line`: without what is the run's own."""
    shared = [word for word in line if word.lstrip("+").partition("=")[0].partition(".")[0] not in OWN]
    return [*shared, f"optimizer={optimizer}"]


def yardstick(composed: dict[str, Any], run: dict[str, Any], store: Path | str = "") -> dict[str, Any]:
    """Return the reference's configuration, `composed` of its words: equal for all runs but for how they are run."""
    plain = root()
    options = {group: groups.raw(group, name) for group, name in (("schedule", "constant"), ("budget", "epochs"))}
    chosen = {group: {k: v for k, v in raw.items() if k not in groups.RESERVED} for group, raw in options.items()}
    chosen["budget"]["epochs"] = EPOCHS
    quiet = {"probe": {}, "logger": {}, "warnings": {}, "progress": False, "keep": "none", "seed": 0}
    place = {"paths": run["paths"] | {"store": str(store)}}
    looks = {"selection": plain["selection"], "target": plain["target"]}
    looks["evaluate"] = plain["evaluate"] | {"every_epochs": EPOCHS}
    return composed | chosen | quiet | looks | place | {key: run[key] for key in KEPT if key in run}
