"""Where runs are made. Each is a process of its own, and a future of how it ends. Here: on this machine."""

import math
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

from sweep.plan import ROOT, Planned

GRACE = 60.0  # seconds that a run gets to write its checkpoint before it is killed
LOOK = 0.05  # seconds between looks at a process


@dataclass(frozen=True)
class Job:
    """A process that makes a run. Its output goes to `log`."""

    command: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Exit:
    """How a process ended: its exit code (negative: a signal), and whether its time limit ended it."""

    code: int
    timeout: bool = False


LOST = Exit(-signal.SIGKILL)  # a queue lost the process: the runner repeats the run


@dataclass(frozen=True, eq=False)
class Handle:
    """A job that was submitted.

    future: how it ends; an OSError where it could not start, as on a full disk. stop: asks the run to write a
    checkpoint and to end; `stop(True)` kills it.
    """

    future: Future[Exit]
    stop: Callable[[bool], object]


class Backend(Protocol):
    """A place that makes runs. Everything else is the runner's."""

    threads: int  # of each run, where all share this machine; 0 elsewhere

    def room(self) -> int:
        """Return how many more jobs may be submitted now."""
        ...

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Start jobs, or queue them; returns one handle each."""
        ...


def command(words: Sequence[str], store: Path) -> tuple[str, ...]:
    """Return the command that makes a run in a store."""
    program = os.environ.get("STEPBENCH_TRAIN", str(ROOT / "train.py"))  # the tests have a fake one
    return (sys.executable, program, *words, f"paths.store={store.resolve()}")


def job(run: Planned, store: Path) -> Job:
    """Return the process that makes a run in a store."""
    return Job(command(run.words, store), store.resolve() / ".sweep" / f"{run.id}.log")


class Child:
    """A run's process, the leader of its own session: no signal reaches it but from here."""

    def __init__(self, job: Job, environment: Mapping[str, str]) -> None:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with open(job.log, "ab") as file:
            self.popen = subprocess.Popen(
                job.command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=ROOT,
                env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    def stop(self, *, hard: bool = False) -> None:
        """Ask for a checkpoint and an end; `hard` kills the process and those that it started."""
        with suppress(ProcessLookupError):
            if hard:
                os.killpg(self.popen.pid, signal.SIGKILL)
            else:
                self.popen.send_signal(signal.SIGTERM)

    def watch(self, seconds: float = math.inf, asked: Event | None = None) -> int | None:
        """Return the exit code, None if after so many seconds, or once it is `asked` to end, the process still runs.

        Looks instead of blocking, so that signal handlers may call `end` meanwhile.
        """
        asked, limit = asked or Event(), time.monotonic() + seconds
        while (code := self.popen.poll()) is None and time.monotonic() < limit:
            if asked.wait(LOOK):
                break
        return code

    def wait(self) -> int:
        """Return the exit code."""
        self.watch()
        return self.popen.wait()

    def end(self, grace: float = GRACE) -> int:
        """Stop, by force after `grace` seconds; returns the exit code."""
        self.stop()
        self.watch(grace)
        self.stop(hard=True)
        return self.wait()


class Local:
    """At most `jobs` processes at once, each with its share of the cores and, if there are any, its GPU.

    gpus: names for CUDA_VISIBLE_DEVICES, given to the slots in turn. timeout: seconds a run may take; then it writes
    its checkpoint and ends. A Ctrl-C reaches the sweep alone, which then stops the runs one by one. Each process has a
    thread that watches it and ends with the sweep: `--detach` leaves the processes behind.
    """

    def __init__(self, jobs: int, gpus: Sequence[str] = (), timeout: float = math.inf, grace: float = GRACE) -> None:
        self.gpus, self.timeout, self.grace = list(gpus), timeout, grace
        self._free = deque(range(jobs))
        self.threads = max(1, (os.cpu_count() or 1) // jobs)

    def room(self) -> int:
        return len(self._free)

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        return [self._start(job) for job in jobs]

    def _start(self, job: Job) -> Handle:
        future: Future[Exit] = Future()
        asked, slot = Event(), self._free[0]
        environment = {"OMP_NUM_THREADS": str(self.threads)}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        try:
            child = Child(job, environment)
        except OSError as error:
            future.set_exception(error)
            return Handle(future, lambda hard: None)
        self._free.popleft()
        Thread(target=self._watch, args=(child, slot, asked, future), daemon=True).start()
        return Handle(future, lambda hard: child.stop(hard=True) if hard else asked.set())

    def _watch(self, child: Child, slot: int, asked: Event, future: Future[Exit]) -> None:
        code = child.watch(self.timeout, asked)
        timeout = code is None and not asked.is_set()
        code = child.end(self.grace) if code is None else code
        self._free.append(slot)
        future.set_result(Exit(code, timeout))
