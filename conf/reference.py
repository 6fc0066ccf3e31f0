"""Which run measures a wall-clock budget (RMSGD, Section 5.1): the time of its epochs is the budget of all. Torch-free.

It is an ordinary run of a few epochs, of the reference optimizer as `tuned` has it, on the same data, net and batch as
the run that is timed. Where it is stored and what it took: record/provenance.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conf import groups

EPOCHS = 4  # the first warms up and is not counted
OWN = (
    *("optimizer", "schedule", "budget", "seed", "target", "probe", "logger", "selection", "evaluate"),
    *("keep", "log", "rerun"),
)
KEPT = ("device", "threads", "workers", "checkpoint", "traceback")  # how the timed run is run


def words(timed: Sequence[str], optimizer: str) -> list[str]:
    """Return the command line of a timed run's reference: without what is the timed run's own."""
    shared = [word for word in timed if word.lstrip("+").partition("=")[0].partition(".")[0] not in OWN]
    return [*shared, f"optimizer={optimizer}"]


def configuration(composed: dict[str, Any], timed: dict[str, Any], store: Path | str = "") -> dict[str, Any]:
    """Return the reference's configuration, `composed` of its words.

    It is the same for all timed runs, except for how they are run (KEPT).
    """
    plain = groups.root()
    chosen = {"schedule": groups.values(groups.raw("schedule", "constant"))}
    chosen["budget"] = groups.values(groups.raw("budget", "epochs")) | {"epochs": EPOCHS}
    quiet = {"probe": {}, "logger": {}, "warnings": {}, "progress": False, "keep": "none", "seed": 0}
    place = {"paths": timed["paths"] | {"store": str(store)}}
    looks = {"selection": plain["selection"], "target": plain["target"]}
    looks["evaluate"] = plain["evaluate"] | {"every_epochs": EPOCHS}
    return composed | chosen | quiet | looks | place | {key: timed[key] for key in KEPT if key in timed}
