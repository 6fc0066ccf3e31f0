"""How a run ends, and the exit code that says so."""

import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from record.announce import headline
from record.claim import Claimed
from record.writer import Writer

DONE, FAILED, AGAIN = 0, 70, 75  # 75: run the same command again
GRACE = 10.0  # seconds that a process gets to end by itself once all is done


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
        _say(run, f"{result['state']}: {headline(result['metrics'])}")
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


def _say(run: Writer, words: str) -> None:
    """Print how a run ended, once: of several processes only one has a folder."""
    if run.folder is not None:
        print(f"{words}  {run.folder}")


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


def _kind(error: BaseException) -> str:
    """Name a failure for those who decide on a retry: oom, disk, or error."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "can't allocate memory" in str(error):
        return "oom"
    return "disk" if isinstance(error, OSError) and error.errno in (28, 122) else "error"
