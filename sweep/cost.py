"""What a plan will cost, from times that were measured in the store; or that nothing is known."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sweep.plan import Planned

Row = dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """Seconds of one slot. low and high: the fastest and slowest like runs. unknown: runs that nothing is known of."""

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
        self._seconds: dict[tuple[str, ...], list[float]] = defaultdict(list)  # by unit, data, net and optimizer
        for row in machines.get(self.machine, []):
            seconds = row.get("time.train_seconds")
            for unit in ("epochs", "steps"):
                if seconds and row.get(unit):
                    self._seconds[unit, row["data"], row["model"], row["optimizer"]].append(seconds / row[unit])

    def cost(self, runs: Iterable[Planned]) -> Cost:
        """Add up what `runs` will take."""
        spans = [self._span(run) for run in runs]
        known = [span for span in spans if span]
        middle, low, high = (sum(span[k] for span in known) for k in range(3))
        return Cost(middle, low, high, unknown=len(spans) - len(known))

    def _span(self, run: Planned) -> tuple[float, float, float] | None:
        """Return median, fastest and slowest of the same cell, or of any optimizer on the same data and net."""
        budget = run.config["budget"]
        if "seconds" in budget:
            return (budget["seconds"],) * 3
        unit = "steps" if "steps" in budget else "epochs"
        key = (unit, *run.names[:2], budget.get("reference", run.names[2]))
        like = [value for name, values in self._seconds.items() if name[:3] == key[:3] for value in values]
        times, count = self._seconds.get(key) or like, budget[unit]
        return (count * statistics.median(times), count * min(times), count * max(times)) if times else None


def hours(seconds: float) -> str:
    """Write a duration for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
