"""A run from the look whether it is there already to the exit code that says how it ended. Imports nothing heavy."""

import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Protocol, Self

from record.claim import Claimed
from record.clean import clean_finished
from record.identity import complete, run_folder
from record.read import flat, read_result
from record.source import changed

DONE, FAILED, AGAIN = 0, 70, 75  # 75: run the same command again
GRACE = 10.0  # seconds that a process gets to end by itself once all is done


class Writer(Protocol):
    """What a training loop asks of a run's record; here each method leaves no trace. `Run` is the one that writes."""

    @property
    def folder(self) -> Path | None:
        """Return where the record is, None if it is nowhere."""
        return None

    def __enter__(self) -> Self:
        """Return the record."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close the record, if neither a result nor a stop nor a failure has."""
        return

    def append(self, row: dict[str, Any]) -> None:
        """Add a row of metrics."""
        return

    def log(self, text: str) -> None:
        """Add a dated line."""
        return

    def save_checkpoint(self, state: Mapping[str, Any], step: int, *, required: bool = False) -> bool:
        """Write a checkpoint; return whether the run may go on as if it were durable."""
        return True

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Return the newest checkpoint's state, None to start afresh."""
        return None

    def finish(self, result: Mapping[str, Any], weights: Mapping[str, Any] | None = None) -> Mapping[str, object]:
        """Write the result, and return it."""
        return dict(result)

    def stop(self, message: str = "stopped") -> None:
        """Record that the run was asked to stop."""
        return

    def fail(self, kind: str, message: str, traceback: str = "") -> None:
        """Record a failure."""
        return


class NullWriter(Writer):
    """Leaves no trace: under torchrun process 0 alone writes."""


def skip_if_finished(config: dict[str, Any]) -> bool:
    """Tell, in one line, of a run that is finished; False, and nothing said, if it is not, or is to be made again.

    What a process left undone that died after writing the result is done first.
    """
    folder = run_folder(config["paths"]["store"], complete(config))
    result = None if config.get("rerun") else read_result(folder)
    if result is None:
        return False
    clean_finished(folder)
    other = ", ".join(changed(flat(result)))
    but = f", but its code differs ({other}); rerun=true makes it again" if other else ""
    print(f"already there{but}: {result['state']}  {headline(result['metrics'])}  {folder}")
    return True


def headline(metrics: Mapping[str, Any]) -> str:
    """Write the numbers of a result that a person looks at first."""
    shown = [key for key in metrics if key.startswith("test_") and isinstance(metrics[key], float | int)]
    return "  ".join(f"{key} {metrics[key]:.4g}" for key in shown)


def supervise(
    run: Writer,
    fit: Callable[[], tuple[dict[str, Any], dict[str, Any]]],
    stops: tuple[type[BaseException], ...],
) -> int:
    """Train, record how it ended, and return the exit code.

    fit: returns the result and the final weights. stops: what it raises when it was asked to stop and has written its
    checkpoint. Raises Claimed when another process has taken the run over.
    """
    try:
        result, weights = fit()
        run.finish(result, weights)
        _say(run, f"{result['state']}{_where(result)}: {headline(result['metrics'])}")
        return DONE
    except stops:
        run.stop()
        _say(run, "stopped; the same command goes on from the last checkpoint")
        return AGAIN
    except Claimed:
        raise
    except BaseException as error:  # sys.exit too: any way out of training but its end is a failure
        run.fail(_kind(error), f"{type(error).__name__}: {error}", traceback.format_exc())
        print(f"failed: {type(error).__name__}: {error}; traceback in {run.folder}/log.txt", file=sys.stderr)
        return FAILED


def _where(result: Mapping[str, Any]) -> str:
    """Say where a run diverged."""
    found = result.get("diverged")
    return f" at step {found['step']}, after {found['layer']} grew {found['growth']:.3g} times" if found else ""


def _say(run: Writer, words: str) -> None:
    """Print how a run ended, once: of several processes only one has a folder."""
    if run.folder is not None:
        print(f"{words}  {run.folder}")


def _kind(error: BaseException) -> str:
    """Name a failure for those who decide on a retry: oom, disk, or error."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "can't allocate memory" in str(error):
        return "oom"
    return "disk" if isinstance(error, OSError) and error.errno in (28, 122) else "error"


def leave(code: int) -> NoReturn:
    """End this process with `code`, whatever threads and child processes a user's class has left running."""

    def insist() -> None:
        time.sleep(GRACE)
        names = [thread.name for thread in threading.enumerate() if not thread.daemon and thread.name != "MainThread"]
        print(f"left running, and ended: {', '.join(names) or 'a child process'}", file=sys.stderr, flush=True)
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(code)

    threading.Thread(target=insist, daemon=True, name="leave").start()
    sys.exit(code)
