"""What a person sees of a sweep: what it will cost, a live table on a terminal, plain lines elsewhere.

A cost is made of times that were measured in the store; without any it is not known.
"""

import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conf import grammar
from record.lines import read_lines
from record.read import Status, read_result
from record.source import changed
from record.supervise import headline
from sweep.plan import Planned, unlike
from sweep.runner import Progress

if TYPE_CHECKING:  # rich takes longer to import than a plan of a thousand runs to make
    from rich.live import Live
    from rich.table import Table

ORDER = ("done", "diverged", "failed", "pruned", "stopped", "running", "missing")
REDRAW = 0.5  # seconds
Row = dict[str, Any]


def counts_line(counts: Counter[str]) -> str:
    """Write counts by state in a fixed order, e.g. `3 done, 1 failed, 20 missing`."""
    return ", ".join(f"{counts[state]} {state}" for state in ORDER if counts[state]) or "nothing there yet"


class Display:
    """Prints one line for each run that ends; on a terminal a table of what is running stays below them."""

    def __init__(self, store: Path, runs: Sequence[Planned]) -> None:
        self.store, self.total = store, len(runs)
        self.labels = dict(zip(runs, _labels(runs), strict=True))
        self.width = max(map(len, self.labels.values()), default=0)
        self.ended = 0
        self._live: Live | None = None
        self._drawn = 0.0

    @contextmanager
    def open(self) -> Iterator["Display"]:
        if not sys.stdout.isatty():
            yield self
            return
        from rich.live import Live

        with Live(auto_refresh=False, transient=True) as self._live:
            yield self

    def report(self, event: str, run: Planned, found: Status, seconds: float) -> None:
        self.ended += event not in ("again", "measured")
        result = read_result(self.store / run.folder) if found.finished else None
        words = headline(result["metrics"]) if result else f"{found.kind} {found.message}".strip()
        count, label = f"[{self.ended:>{len(str(self.total))}}]", f"{self.labels[run]:{self.width}}"
        line = f"{count} {event:8} {label} {words}  {hours(seconds)}  {run.id}"
        if self._live:
            self._live.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            print(line, flush=True)

    def show(self, progress: Progress) -> None:
        if self._live is None or time.monotonic() < self._drawn + REDRAW:
            return
        self._drawn = time.monotonic()
        self._live.update(self._table(progress), refresh=True)

    def _table(self, progress: Progress) -> "Table":
        from rich.table import Table

        word = "stopping" if progress.stopping else f"{progress.waiting} waiting, {len(progress.elsewhere)} elsewhere"
        table = Table(title=f"{counts_line(progress.counts)} of {progress.total}; {word}", title_justify="left")
        for column in ("run", "epoch", "loss", "for", "id"):
            table.add_column(column)
        for run, since in progress.running.items():
            rows, _ = read_lines(self.store / run.folder / "metrics.jsonl")
            last = next((row for row in reversed(rows) if "epoch" in row), {})
            loss = last.get("train_loss")
            shown = f"{loss:.4g}" if isinstance(loss, float) else ""
            table.add_row(self.labels[run], str(last.get("epoch", "")), shown, hours(time.monotonic() - since), run.id)
        return table


def code_lines(runs: Sequence[Planned], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Count the finished runs of a plan whose code has changed since."""
    ids = {run.id for run in runs}
    found = [changed(row) for row in rows if row["id"] in ids]
    names = ", ".join(sorted(set(chain.from_iterable(found))))
    return [f"other code made {sum(map(bool, found))} of them ({names}); rerun=true makes these again"] if names else []


def _labels(runs: Sequence[Planned]) -> list[str]:
    """Name each run by data, net, optimizer and seed, and by what else is not the same for all."""
    named = ("data=", "model=", "optimizer=", "seed=")
    own = grammar.varying([run.words for run in runs])
    return [
        " ".join([run.label, *(word for word in words if not word.startswith(named))])
        for run, words in zip(runs, own, strict=True)
    ]


def plan_lines(name: str, runs: Sequence[Planned], states: dict[str, Status], cost: str) -> list[str]:
    """Describe a plan in a few lines: size, states, values that are not from the paper, cost."""
    seeds, groups, references = ({getattr(run, key) for run in runs} for key in ("seed", "group_id", "reference_id"))
    lines = [f"{name}: {len(runs)} runs, {len(groups)} configurations, up to {len(seeds)} seeds"]
    references -= {None}
    if references:
        lines[0] += f"; {len(references)} wall-clock budgets are measured first, alone on the machine"
    lines.append(counts_line(Counter(state.state for state in states.values())))
    notes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for run in runs:
        for key, note in (run.config.get("notes") or {}).items():
            notes[(run.names[2], str(note))].add(key.removeprefix("optimizer."))
    lines += [
        f"not from the paper: {name} {', '.join(sorted(keys))}: {note}" for (name, note), keys in sorted(notes.items())
    ]
    return [*lines, *unlike(runs), cost]


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
