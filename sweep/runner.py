"""The loop that brings a plan to its end: what is missing is started, what ends is judged, what is lost is repeated."""

import os
import signal
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path

from record.provenance import measured
from record.read import Status, status
from record.run import mark_failed
from sweep.backend import Backend, Exit, Handle, job
from sweep.plan import Planned

TICK = 0.1  # seconds without an end after which the display and the signals get their turn
LOOK_ELSEWHERE = 1.0  # seconds between looks at runs that other processes have
HOPELESS = 10  # when the first so many runs all fail, something is wrong with all of them, and the rest is not tried
ROOM = 2**16  # bytes: what a run writes before its first step
AGAIN, FAILURE, MISTAKE = 75, 70, 1  # exit codes of train.py


@dataclass
class Options:
    """retries: how often a run whose process died, or was stopped by others, is repeated. limit: None for all runs.

    max_failures: 0 for any number.
    """

    retries: int = 2
    limit: int | None = None
    retry_failed: bool = False
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
    """One invocation of `sweep run`. progress: the counts by state, at last the final ones."""

    def __init__(
        self, runs: Sequence[Planned], store: Path, backend: Backend, options: Options, report: Report
    ) -> None:
        self.store, self.backend, self.options, self.report = store, backend, options, report
        self.pending: deque[Planned] = deque()
        self.handles: dict[Planned, Handle] = {}
        self.tries: Counter[str] = Counter()  # processes that have ended, by run
        self.interrupted: set[Planned] = set()
        self.dropped: set[Planned] = set()
        self.failures = self.succeeded = 0
        self.interrupts = self._told = 0
        self.progress = Progress(total=len(runs))
        for run in runs:
            self._sort_in(run, status(store / run.folder))
        self.pending = deque(list(self.pending)[: options.limit])
        for processes in {run.processes for run in self.pending}:
            backend.room(processes)  # or an error, before anything runs
        self.unmeasured = self._unmeasured()
        self.measuring: Planned | None = None
        self._looked = time.monotonic()

    def finish(self, show: Callable[[Progress], None], pruned: Callable[[Planned], bool]) -> None:
        """Work until nothing is left, or until Ctrl-C, SIGTERM or too many failures have stopped all running ones.

        show: is called at each turn. pruned: tells of a running one whether it is to end, for good. An error meanwhile,
        as of a store that cannot be written, stops them too, and is raised when all have ended.
        """
        raised: Exception | None = None
        with self._interruptible():
            while self.handles or (not self.progress.stopping and (self.pending or self.progress.elsewhere)):
                try:
                    self._turn()
                    self._drop(pruned)
                    show(self.progress)
                except Exception as error:
                    raised = raised or error
                    self.progress.stopping = True
                if self.options.detach and not self.pending and not self.progress.stopping:
                    break
                self._wait()
        if raised is not None:
            raise raised

    def _drop(self, pruned: Callable[[Planned], bool]) -> None:
        """End for good the running ones that are `pruned`; each writes its checkpoint."""
        for run in [run for run in self.handles if run not in self.dropped and pruned(run)]:
            self.dropped.add(run)
            self.handles[run].stop(False)

    def _turn(self) -> None:
        self._pass_on_the_stop()
        self._collect()
        self._stop_measured()
        self._look_elsewhere()
        if not self.progress.stopping:
            self._start()
        self.progress.waiting = len(self.pending)

    def _wait(self) -> None:
        futures = [handle.future for handle in self.handles.values()]
        if futures:
            wait(futures, TICK, FIRST_COMPLETED)
        else:
            time.sleep(TICK)

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
        first = [self.pending.popleft() for _ in range(self._room())]
        chosen = [run for run in first if self._is_free(run, status(self.store / run.folder))]
        handles = self.backend.submit([job(run, self.store) for run in chosen]) if chosen else []
        self.handles.update(zip(chosen, handles, strict=True))
        self.progress.running.update(dict.fromkeys(chosen, time.monotonic()))

    def _is_free(self, run: Planned, found: Status) -> bool:
        """Tell whether a run is to be started: another sweep may have finished it, or may have it."""
        if found.finished:
            self._count(found.state, run, found)
        elif found.state == "running":
            self.progress.elsewhere.append(run)
        return not found.finished and found.state != "running"

    def _room(self) -> int:
        """Return how many runs may start: one, alone, while a wall-clock budget is still to be measured."""
        alone = next((run for run in self.pending if run in self.unmeasured), None) if self.unmeasured else None
        if self.measuring in self.handles or (alone and self.handles):
            return 0
        if alone is None:
            processes = self.pending[0].processes if self.pending else 1
            alike = takewhile(lambda run: run.processes == processes, self.pending)
            return min(self.backend.room(processes), len(list(alike)))
        self.measuring = alone
        self.unmeasured.remove(alone)
        self.pending.remove(alone)
        self.pending.appendleft(alone)
        return 1

    def _unmeasured(self) -> set[Planned]:
        """Return the first run of each wall-clock budget that has no stored time on this machine."""
        if not self.backend.threads or not any(run.reference_id for run in self.pending):
            return set()
        known = measured(self.store, self.backend.threads)
        first = {run.reference_id: run for run in reversed(self.pending) if run.reference_id}
        return {run for reference, run in first.items() if reference not in known}

    def _stop_measured(self) -> None:
        """Interrupt the run that measured its budget, so that the next is measured alone; it goes on later."""
        run = self.measuring
        if run is None or run in self.interrupted or run not in self.handles or not self.pending:
            return
        if run.reference_id in measured(self.store, self.backend.threads):
            self.interrupted.add(run)
            self.handles[run].stop(False)

    def _collect(self) -> None:
        for run, handle in list(self.handles.items()):
            if handle.future.done():
                del self.handles[run]
                self.measuring = None if run is self.measuring else self.measuring
                seconds = time.monotonic() - self.progress.running.pop(run)
                self._judge(run, handle.future.result(), seconds)

    def _judge(self, run: Planned, ended: Exit, seconds: float) -> None:
        self.tries[run.id] += 1
        found = status(self.store / run.folder)
        if run.processes > 1 and ended.code > 0:  # torchrun's own code; the record is the truth
            ended = replace(ended, code={"stopped": AGAIN, "failed": FAILURE}.get(found.state, ended.code))
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
        elif run in self.dropped and lost:
            self._count("pruned", run, found, seconds)
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
        hopeless = self.failures == HOPELESS and not self.succeeded
        if self.failures >= self.options.max_failures if self.options.max_failures else hopeless:
            self.progress.stopping = True

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
            if found.state == "failed":
                self._count(found.state, run, found)
            elif self._is_free(run, found):
                self.pending.appendleft(run)

    def _words(self, run: Planned, ended: Exit) -> str:
        """Say why a process died: its last line of output, if it ended by itself."""
        log = job(run, self.store).log
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        lines = [line for line in lines if line.startswith("stepbench: ")] or lines  # torchrun says more behind it
        return lines[-1] if lines and ended.code > 0 else _ending(ended)

    def _pass_on_the_stop(self) -> None:
        """Ask all that runs to end, once; kill it at a second Ctrl-C."""
        wanted = 2 if self.interrupts > 1 else int(self.progress.stopping)
        if wanted > self._told:
            self._told = wanted
            for handle in self.handles.values():
                handle.stop(wanted > 1)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        def interrupted(number: int, frame: object) -> None:
            self.interrupts += 1
            self.progress.stopping = True

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
