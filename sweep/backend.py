"""What a back end is: a place where the processes that make runs are started, watched and stopped."""

import os
import sys
from collections.abc import Sequence
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

    detached: bool  # jobs outlive the sweep: it may leave once they are submitted

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
