"""Runs as processes of this machine: slots for cores or GPUs, a time limit, isolation of crashes."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from sweep.backend import Exit, Job
from sweep.plan import ROOT

GRACE = 60.0  # seconds that a run gets to write its checkpoint before it is killed


@dataclass
class Process:
    popen: subprocess.Popen[bytes]
    slot: int
    deadline: float
    asked_at: float | None = None
    timed_out: bool = False


class Local:
    """At most `jobs` processes at once, each with its share of the cores and, if there are any, its GPU.

    gpus: names for CUDA_VISIBLE_DEVICES, given to the slots in turn. timeout: seconds a run may take; then it writes
    its checkpoint and ends. Processes are leaders of their own sessions, so that a Ctrl-C reaches the sweep alone,
    which then stops them one by one.
    """

    detached = False

    def __init__(
        self, jobs: int, gpus: Sequence[str] = (), timeout: float = float("inf"), grace: float = GRACE
    ) -> None:
        self.gpus, self.timeout, self.grace = list(gpus), timeout, grace
        self._free = list(range(jobs))
        self._threads = max(1, (os.cpu_count() or 1) // jobs)

    def room(self) -> int:
        return len(self._free)

    def submit(self, jobs: Sequence[Job]) -> list[Process]:
        return [self._start(job) for job in jobs]

    def poll(self, handle: Process) -> Exit | None:
        code = handle.popen.poll()
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
        with suppress(ProcessLookupError):
            if hard:
                os.killpg(handle.popen.pid, signal.SIGKILL)  # with its loader workers
            else:
                handle.popen.send_signal(signal.SIGTERM)

    def _start(self, job: Job) -> Process:
        slot = self._free.pop(0)
        environment = {**os.environ, "OMP_NUM_THREADS": str(self._threads), "PYTHONUNBUFFERED": "1"}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with open(job.log, "ab") as log:
            popen = subprocess.Popen(
                job.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=environment,
                start_new_session=True,
            )
        return Process(popen, slot, time.monotonic() + self.timeout)
