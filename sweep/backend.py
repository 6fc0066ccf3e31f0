"""What a back end is: a place where the processes that make runs are started, watched and stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sweep.plan import ROOT, Planned


@dataclass(frozen=True)
class Job:
    """One run as a process. Its output goes to `log`."""

    run: Planned
    command: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Exit:
    """How a process ended: its exit code (negative: a signal), and whether its time limit ended it."""

    code: int
    timeout: bool = False


class Backend(Protocol):
    """Submit, poll, cancel; everything else is the runner's."""

    threads: int  # of each run, where all share this machine; 0 elsewhere

    def room(self) -> int:
        """Return how many more jobs may be submitted now."""
        ...

    def submit(self, jobs: Sequence[Job]) -> list[Any]:
        """Start jobs; returns one handle each."""
        ...

    def poll(self, handle: Any) -> Exit | None:
        """Return how a job ended, None while it has not."""
        ...

    def cancel(self, handle: Any, *, hard: bool = False) -> None:
        """Ask a job to write a checkpoint and stop; `hard` does not ask."""
        ...


def command(words: Sequence[str], store: Path) -> tuple[str, ...]:
    """Return the command that makes a run in a store."""
    program = os.environ.get("STEPBENCH_TRAIN", str(ROOT / "train.py"))  # a test's stand-in for it
    return (sys.executable, program, *words, f"paths.store={store.resolve()}")


def job(run: Planned, store: Path) -> Job:
    """Return the process that makes a run in a store."""
    return Job(run, command(run.words, store), store.resolve() / ".sweep" / f"{run.id}.log")


GRACE = 60.0  # seconds that a run gets to write its checkpoint before it is killed


class Child:
    """A run's process, the leader of its own session: no signal reaches it but from here."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as file:
            self.popen = subprocess.Popen(
                command,
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

    def wait(self) -> int:
        """Return the exit code. Looks instead of blocking, so that signal handlers may call `end` meanwhile."""
        while (code := self.popen.poll()) is None:
            time.sleep(0.05)
        return code

    def end(self, grace: float = GRACE) -> int:
        """Stop, by force if it must be."""
        self.stop()
        limit = time.monotonic() + grace
        while self.popen.poll() is None and time.monotonic() < limit:
            time.sleep(0.05)
        self.stop(hard=True)
        return self.wait()
