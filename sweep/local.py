"""Runs as processes of this machine: slots for cores or GPUs, a time limit, isolation of crashes."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.backend import GRACE, Child, Exit, Job


@dataclass
class Process:
    child: Child
    slot: int
    deadline: float
    asked_at: float | None = None
    timed_out: bool = False


class Local:
    """At most `jobs` processes at once, each with its share of the cores and, if there are any, its GPU.

    gpus: names for CUDA_VISIBLE_DEVICES, given to the slots in turn. timeout: seconds a run may take; then it writes
    its checkpoint and ends. A Ctrl-C reaches the sweep alone, which then stops the runs one by one.
    """

    def __init__(
        self, jobs: int, gpus: Sequence[str] = (), timeout: float = float("inf"), grace: float = GRACE
    ) -> None:
        self.gpus, self.timeout, self.grace = list(gpus), timeout, grace
        self._free = list(range(jobs))
        self.threads = max(1, (os.cpu_count() or 1) // jobs)

    def room(self) -> int:
        return len(self._free)

    def submit(self, jobs: Sequence[Job]) -> list[Process]:
        started: list[Process] = []
        try:
            for job in jobs:
                started.append(self._start(job))
        except OSError:  # a full disk: nobody would know of those that run
            for process in started:
                process.child.end(self.grace)
            raise
        return started

    def poll(self, handle: Process) -> Exit | None:
        code = handle.child.popen.poll()
        if code is not None:
            self._free.append(handle.slot)
            return Exit(code, handle.timed_out)
        now = time.monotonic()
        if handle.asked_at is None and now > handle.deadline:
            handle.timed_out = True
            self.cancel(handle)
        elif handle.asked_at is not None and now > handle.asked_at + self.grace:
            self.cancel(handle, hard=True)
        return None

    def cancel(self, handle: Process, *, hard: bool = False) -> None:
        handle.asked_at = handle.asked_at or time.monotonic()
        handle.child.stop(hard=hard)

    def _start(self, job: Job) -> Process:
        slot = self._free[0]
        environment = {"OMP_NUM_THREADS": str(self.threads)}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        child = Child(job.command, job.log, environment)
        return Process(child, self._free.pop(0), time.monotonic() + self.timeout)
