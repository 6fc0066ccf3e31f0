"""How long a reference optimizer takes on this machine: measured once, so that all its rivals get the same time."""

import platform
from pathlib import Path
from typing import Any

from record.files import read_json, write_json
from record.identity import run_id, semantic

_OTHERS = ("optimizer", "schedule", "selection", "evaluate", "target", "probe", "keep")


class ReferenceTime:
    """The stored seconds of one reference: same machine, device, threads, data, net, batch and seed.

    config: the configuration of a run with `budget=wallclock_of`; facts: device, gpu and threads.
    """

    def __init__(self, store: Path | str, config: dict[str, Any], facts: dict[str, Any]) -> None:
        self._about = {"host": platform.node(), **facts, "config": _kept(config)}
        self.path = Path(store, ".references", f"{run_id(self._about)}.json")

    def read(self) -> float | None:
        """Return the seconds, None if they were never measured."""
        try:
            return float(read_json(self.path)["seconds"])
        except FileNotFoundError:
            return None

    def write(self, seconds: float) -> float:
        """Store the seconds; returns those that stand, which are another process's if it was faster."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.read() is None:
            write_json(self.path, {"seconds": seconds, **self._about})
        return self.read() or seconds


def yardstick(config: dict[str, Any]) -> str:
    """Return the id that all runs share which one reference's time is the budget of, on whatever machine."""
    return run_id(_kept(config))


def measured(store: Path | str, threads: int) -> set[str]:
    """Return the yardsticks whose time is stored for this machine and thread count."""
    found = set()
    for path in Path(store, ".references").glob("*.json"):
        about = read_json(path)
        if (about.get("host"), about.get("threads")) == (platform.node(), threads):
            found.add(run_id(about["config"]))
    return found


def _kept(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in semantic(config).items() if key not in _OTHERS}
