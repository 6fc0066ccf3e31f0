"""Runs as jobs of SLURM, by submitit: arrays in chunks, detached, requeued after pre-emption from the checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conf.errors import UsageError
from sweep.backend import Child, Exit, Job

DEFAULTS: dict[str, Any] = {"timeout_min": 24 * 60, "cpus_per_task": 4, "slurm_signal_delay_s": 120}
MAX_ARRAY = 500  # tasks an array; clusters refuse more than their MaxArraySize (1,001 unless changed)
LOST = Exit(-9)  # a job that ended without a word: the runner repeats it


class Task:
    """What a job does: one run's process, which it stops when SLURM pre-empts the job or the time is over.

    submitit calls `checkpoint` on its signal (USR2): the run writes its checkpoint, and the job is queued again with
    the same command, which goes on from there.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.command, self.log = tuple(command), log
        self._child: Child | None = None

    def __call__(self) -> int:
        self._child = Child(self.command, self.log, {})
        try:
            return self._child.wait()
        except KeyboardInterrupt:  # submitit's local executor cancels by SIGINT
            return self._child.end()

    def checkpoint(self) -> Any:
        from submitit.helpers import DelayedSubmission

        if self._child is not None:
            self._child.end()
        return DelayedSubmission(Task(self.command, self.log))


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
            raise UsageError("--backend slurm: needs submitit: pip install 'stepbench[slurm]'") from error
        given = dict(_parameter(text) for text in parameters)
        self._executor = submitit.AutoExecutor(folder, cluster=given.pop("cluster", None))
        chosen = DEFAULTS | given | ({"slurm_array_parallelism": jobs} if jobs else {})
        known = self._executor._valid_parameters() | {"timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb", "name"}
        for key in given:
            if key not in known and not key.startswith(("slurm_", "local_")):
                raise UsageError(f"--slurm {key}: unknown; allowed: {', '.join(sorted(known))}, slurm_<sbatch option>")
        self._executor.update_parameters(**chosen)

    def room(self) -> int:
        return MAX_ARRAY

    def submit(self, jobs: Sequence[Job]) -> list[Any]:
        return list(self._executor.submit_array([Task(job.command, job.log) for job in jobs]))

    def poll(self, handle: Any) -> Exit | None:
        if not handle.done():
            return None
        try:
            return Exit(int(handle.result()))
        except Exception:  # submitit's errors for jobs that failed, vanished or were cancelled
            return LOST

    def cancel(self, handle: Any, *, hard: bool = False) -> None:
        handle.cancel(check=False)


def _parameter(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--slurm {text}: not KEY=VALUE")
    return key, int(value) if value.isdigit() else value
