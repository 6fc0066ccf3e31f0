"""Runs as tasks of a Ray cluster: placed by their resources, repeated when their worker dies."""

from collections.abc import Sequence
from typing import Any

from conf.errors import UsageError
from sweep.backend import Child, Exit, Job

LOST = Exit(-9)  # the worker died, and not the run's own process: the runner repeats it


def _work(job: Job, environment: dict[str, str]) -> int:
    """Make one run, inside a Ray worker; a cancelled task lets it write its checkpoint."""
    child = Child(job.command, job.log, environment)
    try:
        return child.wait()
    except KeyboardInterrupt:
        return child.end()


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
            raise UsageError("--backend ray: needs ray: pip install 'stepbench[ray]'") from error
        self._ray = ray
        if not ray.is_initialized():
            size = {} if address else {"num_cpus": max(1, int(jobs * cpus)) if jobs else None}
            ray.init(address=address or "local", log_to_driver=False, include_dashboard=False, **size)
        self._environment = {"OMP_NUM_THREADS": str(max(1, int(cpus)))}
        self._work = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_work)

    def room(self) -> int:
        return 100  # waiting in Ray's queue costs nothing; the rest waits here, where others may take it

    def submit(self, jobs: Sequence[Job]) -> list[Any]:
        return [self._work.remote(job, self._environment) for job in jobs]

    def poll(self, handle: Any) -> Exit | None:
        ready, _ = self._ray.wait([handle], timeout=0)
        if not ready:
            return None
        try:
            return Exit(int(self._ray.get(handle)))
        except (self._ray.exceptions.RayError, KeyboardInterrupt):
            return LOST

    def cancel(self, handle: Any, *, hard: bool = False) -> None:
        self._ray.cancel(handle, force=hard)
