"""How a run ends, and the exit code that says so."""

import sys
import traceback
from collections.abc import Callable
from typing import Any

from record.announce import headline
from record.claim import Claimed
from record.follower import Follower
from record.run import Run

DONE, FAILED, AGAIN = 0, 70, 75  # 75: run the same command again


def supervise(
    run: Run | Follower,
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
        print(f"{result['state']}: {headline(result['metrics'])}  {run.folder}")
        return DONE
    except stops:
        run.stop()
        print(f"stopped; the same command goes on from the last checkpoint  {run.folder}")
        return AGAIN
    except Claimed:
        raise
    except Exception as error:
        run.fail(_kind(error), f"{type(error).__name__}: {error}", traceback.format_exc())
        print(f"failed: {type(error).__name__}: {error}; traceback in {run.folder}/log.txt", file=sys.stderr)
        return FAILED


def _kind(error: Exception) -> str:
    """Name a failure for those who decide on a retry: oom, disk, or error."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "can't allocate memory" in str(error):
        return "oom"
    return "disk" if isinstance(error, OSError) and error.errno in (28, 122) else "error"
