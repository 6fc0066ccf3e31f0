"""What a plan will cost, from times that were measured in the store; or that nothing is known."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sweep.plan import Planned

Row = dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """Seconds of one slot. low and high: the slowest and fastest like runs. unknown: runs that nothing is known of."""

    seconds: float
    low: float
    high: float
    unknown: int

    def line(self) -> str:
        if not self.seconds:
            return f"cost: nothing known of {self.unknown} runs" if self.unknown else "cost: nothing to run"
        known = f"cost: {hours(self.seconds)} of one slot ({hours(self.low)} to {hours(self.high)})"
        return known + (f", and nothing known of {self.unknown} runs" if self.unknown else "")


class Speeds:
    """Seconds an epoch and a step, by what was trained, on one machine: the one with the most runs in the store."""

    def __init__(self, rows: Iterable[Row]) -> None:
        machines: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            machines[f"{row.get('machine.host')} {row.get('machine.cpu')} {row.get('machine.gpu')}"].append(row)
        self.machine = max(machines, key=lambda name: (len(machines[name]), name), default="")
        self._epoch: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self._step: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for row in machines.get(self.machine, []):
            seconds = row.get("time.train_seconds")
            for table, count in ((self._epoch, row.get("epochs")), (self._step, row.get("steps"))):
                if seconds and count:
                    table[(row["data"], row["model"], row["optimizer"])].append(seconds / count)

    def cost(self, runs: Iterable[Planned]) -> Cost:
        """Add up what `runs` will take."""
        spans = [self._span(run) for run in runs]
        known = [span for span in spans if span]
        middle, low, high = (sum(span[k] for span in known) for k in range(3))
        return Cost(middle, low, high, unknown=len(spans) - len(known))

    def _span(self, run: Planned) -> tuple[float, float, float] | None:
        estimate = BUDGETS.get(run.budget["name"])
        return estimate(self, run) if estimate else None

    def _times(self, table: dict[tuple[str, ...], list[float]], key: tuple[str, ...], count: float) -> Any:
        """Median, fastest and slowest of the same cell, or of any optimizer on the same data and net."""
        like = [value for name, values in table.items() if name[:2] == key[:2] for value in values]
        times = table.get(key) or like
        return tuple(count * bound(times) for bound in (statistics.median, min, max)) if times else None


def _epochs(speeds: Speeds, run: Planned) -> Any:
    return speeds._times(speeds._epoch, run.names, run.budget["epochs"])


def _steps(speeds: Speeds, run: Planned) -> Any:
    return speeds._times(speeds._step, run.names, run.budget["steps"])


def _seconds(speeds: Speeds, run: Planned) -> Any:
    return (run.budget["seconds"],) * 3


def _wallclock_of(speeds: Speeds, run: Planned) -> Any:
    return speeds._times(speeds._epoch, (*run.names[:2], run.budget["reference"]), run.budget["epochs"])


BUDGETS: dict[str, Callable[[Speeds, Planned], Any]] = {
    "epochs": _epochs,
    "steps": _steps,
    "seconds": _seconds,
    "wallclock_of": _wallclock_of,
}


def hours(seconds: float) -> str:
    """Write a duration for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
