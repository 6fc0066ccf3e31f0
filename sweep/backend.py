"""Where runs are made. Each is a process of its own, and a future of how it ends. Here: on this machine."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

from conf.errors import UsageError
from sweep.plan import ROOT, Planned

GRACE = 60.0  # seconds that a run gets to write its checkpoint before it is killed
LOOK = 0.05  # seconds between looks at a process


@dataclass(frozen=True)
class Job:
    """A process that makes a run; `processes` of them, where torchrun starts them. The output goes to `log`.

    folder: where it starts. A relative path on its command line is meant as where the sweep was started.
    """

    command: tuple[str, ...]
    log: Path
    processes: int = 1
    folder: str = field(default_factory=os.getcwd)


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

    def room(self, processes: int) -> int:
        """Return how many more jobs of so many processes each may be submitted now.

        Raises UsageError where one would never have room.
        """
        ...

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        """Start jobs, or queue them; returns one handle each."""
        ...


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


def command(words: Sequence[str], store: Path, processes: int = 1) -> tuple[str, ...]:
    """Return the command that makes a run in a store."""
    program = os.environ.get("STEPBENCH_TRAIN", str(ROOT / "train.py"))  # the tests have a fake one
    launcher = (*TORCHRUN, str(processes)) if processes > 1 else ()
    return (sys.executable, *launcher, program, *words, f"paths.store={store.resolve()}")


def job(run: Planned, store: Path) -> Job:
    """Return the process that makes a run in a store."""
    log = store.resolve() / ".sweep" / f"{run.id}.log"
    return Job(command(run.line, store, run.processes), log, run.processes)


def devices() -> list[str]:
    """Return this machine's GPUs, by their names for CUDA_VISIBLE_DEVICES; where that is set, those that it lets."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed.stdout.split() if listed.returncode == 0 else []


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
                cwd=job.folder,
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
    """At most `jobs` processes at once, each with its share of the cores (or OMP_NUM_THREADS) and, if any, its GPU.

    gpus: names for CUDA_VISIBLE_DEVICES, given to the slots in turn: with more slots than GPUs runs share one. A run of
    several processes takes as many slots, on different GPUs. timeout: seconds a run may take; then it writes its
    checkpoint and ends. A Ctrl-C reaches the sweep alone, which then stops the runs one by one. Each process has a
    thread that watches it and ends with the sweep: `--detach` leaves the processes behind.
    """

    def __init__(self, jobs: int, gpus: Sequence[str] = (), timeout: float = math.inf, grace: float = GRACE) -> None:
        self.timeout, self.grace = timeout, grace
        self._free = [gpus[slot % len(gpus)] if gpus else "" for slot in range(jobs)]
        self._most = len(set(self._free)) if gpus else jobs
        own = os.environ.get("OMP_NUM_THREADS", "")
        self.threads = int(own) if own.isdecimal() and int(own) else max(1, (os.cpu_count() or 1) // jobs)

    def room(self, processes: int) -> int:
        if processes > self._most:
            raise UsageError(
                f"processes: {processes} for a run; there are {self._most} slots on different GPUs or cores"
            )
        return len(self._free) if processes == 1 else int(len(self._chosen(processes)) == processes)

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        return [self._start(job) for job in jobs]

    def _chosen(self, processes: int) -> list[str]:
        """Return free slots, each on another GPU where there are any."""
        return (list(dict.fromkeys(self._free)) if any(self._free) else self._free)[:processes]

    def _start(self, job: Job) -> Handle:
        future: Future[Exit] = Future()
        asked, slots = Event(), self._chosen(job.processes)
        environment = {"OMP_NUM_THREADS": str(self.threads)}
        if any(slots):
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(slots)
        try:
            child = Child(job, environment)
        except OSError as error:
            future.set_exception(error)
            return Handle(future, lambda hard: None)
        for slot in slots:
            self._free.remove(slot)
        Thread(target=self._watch, args=(child, slots, asked, future), daemon=True).start()
        return Handle(future, lambda hard: child.stop(hard=True) if hard else asked.set())

    def _watch(self, child: Child, slots: Sequence[str], asked: Event, future: Future[Exit]) -> None:
        code = child.watch(self.timeout, asked)
        timeout = code is None and not asked.is_set()
        code = child.end(self.grace) if code is None else code
        self._free += slots
        future.set_result(Exit(code, timeout))
