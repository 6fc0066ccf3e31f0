"""Runs on other machines: as jobs of SLURM, by submitit, or as tasks of a Ray cluster."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

from conf.errors import UsageError
from sweep.backend import LOST, Child, Exit, Handle, Job

DEFAULTS: dict[str, Any] = {"timeout_min": 24 * 60, "cpus_per_task": 4, "slurm_signal_delay_s": 120}
MAX_ARRAY = 500  # tasks an array; clusters refuse more than their MaxArraySize (1,001 unless changed)
LOOK = 0.5  # seconds between looks at a job of SLURM; submitit asks the queue more rarely


class Queued(Protocol):
    """A job of submitit's, as far as it is used here."""

    def done(self) -> bool: ...
    def result(self) -> int: ...
    def cancel(self, check: bool) -> None: ...


class Task:
    """What a job of SLURM does: one run's process, which it stops when the job is pre-empted or its time is over.

    submitit calls `checkpoint` on its signal (USR2): the run writes its checkpoint, and the job is queued again with
    the same command, which goes on from there.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._child: Child | None = None

    def __call__(self) -> int:
        self._child = Child(self.job, {})
        return _code(self._child)  # submitit's local executor cancels by SIGINT

    def checkpoint(self) -> object:
        from submitit.helpers import DelayedSubmission

        if self._child is not None:
            self._child.end()
        return DelayedSubmission(Task(self.job))


class Slurm:
    """A queue. parameters: submitit's (`slurm_partition=gpu`, `gpus_per_node=1`, `timeout_min=240`, ...).

    jobs: how many of an array run at once, 0 for as many as the queue lets. `cluster=local` in the parameters
    takes submitit's local executor, for trying things out.
    """

    threads = 0

    def __init__(self, folder: Path, jobs: int = 0, parameters: Sequence[str] = ()) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UsageError("--backend slurm: needs submitit: pip install submitit") from error
        given = dict(_parameter(text) for text in parameters)
        self._executor = submitit.AutoExecutor(folder, cluster=given.pop("cluster", None))
        known = parameter_names(self._executor)
        for key in given:
            if key not in known and not key.startswith(("slurm_", "local_")):
                raise UsageError(f"--slurm {key}: unknown; allowed: {', '.join(sorted(known))}, slurm_<sbatch option>")
        self._executor.update_parameters(**DEFAULTS | given | ({"slurm_array_parallelism": jobs} if jobs else {}))
        self._loop = asyncio.new_event_loop()  # submitit's jobs have no futures: this thread asks for them
        Thread(target=self._loop.run_forever, daemon=True).start()

    def room(self, processes: int) -> int:
        return MAX_ARRAY

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        return [self._handle(queued) for queued in self._executor.submit_array([Task(job) for job in jobs])]

    def _handle(self, queued: Queued) -> Handle:
        future = asyncio.run_coroutine_threadsafe(_ended(queued), self._loop)
        return Handle(future, lambda hard: queued.cancel(check=False))


async def _ended(queued: Queued) -> Exit:
    while not queued.done():
        await asyncio.sleep(LOOK)
    return _exit(queued.result)


def parameter_names(executor: object) -> set[str]:
    """Return the names of an executor's parameters. The one use of what is private to submitit; a test holds it."""
    names: set[str] = executor._valid_parameters()  # type: ignore[attr-defined]
    return names | {"timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb", "name"}


class Ray:
    """A cluster, or this machine as one. cpus, gpus: what each run takes (gpus may be a fraction: a shared GPU).

    address: of a running cluster, `auto` for the one on this machine, empty to start one with `jobs` times `cpus`.
    Ray sets CUDA_VISIBLE_DEVICES. It does not retry by itself: the runner does, and knows why.
    """

    threads = 0

    def __init__(self, jobs: int = 0, cpus: float = 1, gpus: float = 0, address: str = "") -> None:
        try:
            import ray
        except ImportError as error:
            raise UsageError("--backend ray: needs ray: pip install ray") from error
        self._cancel = ray.cancel
        if not ray.is_initialized():
            size = {} if address else {"num_cpus": max(1, int(jobs * cpus)) if jobs else None}
            ray.init(address=address or "local", log_to_driver=False, include_dashboard=False, **size)
        self._environment = {"OMP_NUM_THREADS": str(max(1, int(cpus)))}
        self._work = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_work)

    def room(self, processes: int) -> int:
        return 100  # waiting in Ray's queue costs nothing; the rest waits here, where others may take it

    def submit(self, jobs: Sequence[Job]) -> list[Handle]:
        return [self._submitted(job) for job in jobs]

    def _submitted(self, job: Job) -> Handle:
        future: Future[Exit] = Future()
        reference = self._work.remote(job, self._environment)
        reference.future().add_done_callback(lambda done: future.set_result(_exit(done.result)))
        return Handle(future, lambda hard: self._cancel(reference, force=hard))


def _work(job: Job, environment: dict[str, str]) -> int:
    """Make one run, inside a Ray worker; a cancelled task lets it write its checkpoint."""
    return _code(Child(job, environment))


def _code(child: Child) -> int:
    """Wait for a process; a job that is cancelled stops it first."""
    try:
        return child.wait()
    except KeyboardInterrupt:
        return child.end()


def _exit(result: Callable[[], int]) -> Exit:
    """Return how a run ended; whatever a queue raises in place of its result is a lost run."""
    try:
        return Exit(int(result()))
    except (Exception, KeyboardInterrupt):  # a job that failed, vanished or was cancelled; a worker that died
        return LOST


def _parameter(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--slurm {text}: not KEY=VALUE")
    return key, int(value) if value.isdecimal() else value
