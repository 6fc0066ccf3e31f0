"""The loop that brings a plan to its end: what is missing is started, what ends is judged, what is lost is repeated."""

import os
import signal
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from record import Status, mark_failed, status
from record.reference import measured
from sweep.backend import Backend, Exit, job
from sweep.plan import Planned

TICK = 0.05  # seconds between looks at the processes
LOOK_ELSEWHERE = 1.0  # seconds between looks at runs that other processes have
HOPELESS = 10  # when the first so many runs all fail, something is wrong with all of them, and the rest is not tried
ROOM = 2**16  # bytes: what a run writes before its first step
AGAIN, FAILURE, MISTAKE = 75, 70, 1  # exit codes of train.py


@dataclass
class Options:
    """retries: how often a run whose process died, or was stopped by others, is repeated. 0 is no limit elsewhere."""

    retries: int = 2
    limit: int = 0
    retry_failed: bool = False
    fail_fast: bool = False
    max_failures: int = 0
    detach: bool = False


@dataclass
class Progress:
    """What the display shows: `running` maps runs to when they were started here."""

    total: int
    counts: Counter[str] = field(default_factory=Counter)
    running: dict[Planned, float] = field(default_factory=dict)
    elsewhere: list[Planned] = field(default_factory=list)
    waiting: int = 0
    stopping: bool = False


Report = Callable[[str, Planned, Status, float], None]  # event, run, status, seconds


class Sweep:
    """One invocation of `sweep run`. `finish` returns the final counts by state."""

    def __init__(
        self, runs: Sequence[Planned], store: Path, backend: Backend, options: Options, report: Report
    ) -> None:
        self.store, self.backend, self.options, self.report = store, backend, options, report
        self.pending: deque[Planned] = deque()
        self.handles: dict[Planned, Any] = {}
        self.tries: Counter[str] = Counter()
        self.interrupted: set[Planned] = set()
        self.failures = self.succeeded = 0
        self.interrupts = 0
        self.progress = Progress(total=len(runs))
        for run in runs:
            self._sort_in(run, status(store / run.folder))
        if options.limit:
            self.pending = deque(list(self.pending)[: options.limit])
        self.unmeasured = self._unmeasured()
        self.measuring: Planned | None = None
        self._looked = time.monotonic()

    def finish(self, show: Callable[[Progress], None] = lambda progress: None) -> Counter[str]:
        """Work until nothing is left, or until Ctrl-C, SIGTERM or too many failures have stopped all running ones.

        An error meanwhile, as of a store that cannot be written, stops them too, and is raised when all have ended.
        """
        raised: Exception | None = None
        with self._interruptible():
            while self.handles or (not self.progress.stopping and (self.pending or self.progress.elsewhere)):
                try:
                    self._turn()
                    show(self.progress)
                except Exception as error:
                    raised = raised or error
                    self._stop()
                if self.options.detach and not self.pending and not self.progress.stopping:
                    break
                time.sleep(TICK)
        if raised is not None:
            raise raised
        return self.progress.counts

    def _turn(self) -> None:
        self._collect()
        self._stop_measured()
        self._look_elsewhere()
        if not self.progress.stopping:
            self._start()
        self.progress.waiting = len(self.pending)

    def _sort_in(self, run: Planned, found: Status) -> None:
        if found.finished:
            self.progress.counts[found.state] += 1
        elif found.state == "running":
            self.progress.elsewhere.append(run)
        elif found.state == "failed" and found.kind != "disk" and not self.options.retry_failed:
            self.progress.counts["failed"] += 1
        else:
            self.pending.append(run)

    def _start(self) -> None:
        chosen = []
        for _ in range(self._room()):
            run = self.pending.popleft()
            found = status(self.store / run.folder)  # another sweep may have come first
            if found.finished:
                self._count(found.state, run, found)
            elif found.state == "running":
                self.progress.elsewhere.append(run)
            else:
                chosen.append(run)
        handles = self.backend.submit([job(run, self.store) for run in chosen]) if chosen else []
        for run, handle in zip(chosen, handles, strict=True):
            self.handles[run] = handle
            self.progress.running[run] = time.monotonic()
            self.tries[run.id] += 1

    def _room(self) -> int:
        """Return how many runs may start: one, alone, while a wall-clock budget is still to be measured."""
        if not self.unmeasured and self.measuring is None:
            return min(self.backend.room(), len(self.pending))
        if self.handles:
            return 0
        self.measuring = next((run for run in self.unmeasured if run in self.pending), None)
        if self.measuring is None:
            self.unmeasured = []
            return min(self.backend.room(), len(self.pending))
        self.unmeasured = self.unmeasured[self.unmeasured.index(self.measuring) + 1 :]
        self.pending.remove(self.measuring)
        self.pending.appendleft(self.measuring)
        return 1

    def _unmeasured(self) -> list[Planned]:
        """Return a run for each wall-clock budget that has no stored time on this machine."""
        if not self.backend.threads or not any(run.yardstick for run in self.pending):
            return []
        known = measured(self.store, self.backend.threads)
        first = {run.yardstick: run for run in reversed(self.pending) if run.yardstick and run.yardstick not in known}
        return list(reversed(first.values()))

    def _stop_measured(self) -> None:
        """Interrupt the run that measured its budget, so that the next is measured alone; it goes on later."""
        run = self.measuring
        if run is None or run in self.interrupted or run not in self.handles or not self.pending:
            return
        if run.yardstick in measured(self.store, self.backend.threads):
            self.interrupted.add(run)
            self.backend.cancel(self.handles[run])

    def _collect(self) -> None:
        for run, handle in list(self.handles.items()):
            ended = self.backend.poll(handle)
            if ended is not None:
                del self.handles[run]
                self.measuring = None if run is self.measuring else self.measuring
                self._judge(run, ended, time.monotonic() - self.progress.running.pop(run))

    def _judge(self, run: Planned, ended: Exit, seconds: float) -> None:
        folder = self.store / run.folder
        found = status(folder)
        lost = ended.code < 0 or ended.code == AGAIN
        if found.finished:
            self.succeeded += 1
            self._count(found.state, run, found, seconds)
        elif found.state == "running" and ended.code == AGAIN:
            self.progress.elsewhere.append(run)
        elif ended.timeout:
            self._fail(run, "timeout", f"stopped after {seconds:.0f} s by --timeout", seconds)
        elif run in self.interrupted and lost and not self.progress.stopping:
            self.interrupted.discard(run)
            self.tries[run.id] -= 1
            self.report("measured", run, Status("stopped", message="goes on later"), seconds)
            self.pending.appendleft(run)
        elif self.progress.stopping and lost:
            self._count("stopped", run, found, seconds)
        elif lost and self.tries[run.id] <= self.options.retries:
            self.report("again", run, Status("stopped", message=_ending(ended)), seconds)
            self.pending.append(run)
        elif ended.code == FAILURE and found.state == "failed":
            self._fail(run, found.kind, found.message, seconds)
        else:
            self._fail(run, "mistake" if ended.code == MISTAKE else "crashed", self._words(run, ended), seconds)

    def _fail(self, run: Planned, kind: str, message: str, seconds: float) -> None:
        if kind == "disk":
            raise OSError(f"{run.label}: {message}")
        self._require_room()
        mark_failed(self.store / run.folder, kind, message)
        self.failures += 1
        self._count("failed", run, Status("failed", kind, message), seconds)
        allowed = 1 if self.options.fail_fast else self.options.max_failures
        hopeless = self.failures == HOPELESS and not self.succeeded and not self.options.max_failures
        if hopeless or (allowed and self.failures >= allowed):
            self._stop()

    def _require_room(self) -> None:
        """Raise OSError where the store cannot be written: then that is why a run failed, and all others would."""
        with tempfile.TemporaryFile(dir=self.store) as file:
            file.write(bytes(ROOM))
            os.fsync(file.fileno())

    def _count(self, event: str, run: Planned, found: Status, seconds: float = 0.0) -> None:
        self.progress.counts[event] += 1
        self.report(event, run, found, seconds)

    def _look_elsewhere(self) -> None:
        if time.monotonic() < self._looked + LOOK_ELSEWHERE:
            return
        self._looked = time.monotonic()
        watched, self.progress.elsewhere = self.progress.elsewhere, []
        for run in watched:
            found = status(self.store / run.folder)
            if found.finished or found.state == "failed":
                self._count(found.state, run, found)
            elif found.state == "running":
                self.progress.elsewhere.append(run)
            else:
                self.pending.appendleft(run)

    def _words(self, run: Planned, ended: Exit) -> str:
        """Say why a process died: its last line of output, if it ended by itself."""
        log = job(run, self.store).log
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1] if lines and ended.code > 0 else _ending(ended)

    def _stop(self) -> None:
        self.progress.stopping = True
        for handle in self.handles.values():
            self.backend.cancel(handle, hard=self.interrupts > 1)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        def interrupted(number: int, frame: object) -> None:
            self.interrupts += 1
            self._stop()

        before = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _ending(ended: Exit) -> str:
    if ended.code >= 0:
        return "stopped by others" if ended.code == AGAIN else f"ended with exit code {ended.code} and no result"
    name = signal.Signals(-ended.code).name
    return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
