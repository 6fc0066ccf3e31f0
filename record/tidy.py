"""What a run leaves lying when its process dies between two lines, and its removal where that is provable."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from record.claim import STALE, claims, is_live
from record.files import read_json, temporaries, write_json
from record.read import read_result
from record.regular import contents
from record.schema import STATUS

PASSING = ("checkpoint-*", "claim-*", ".*.tmp")  # what a finished run has no use for, by pattern
_CHECKPOINT = re.compile(r"checkpoint-\d+-[0-9a-f]{16}\.(pt|bad)")


def remove_checkpoints(folder: Path) -> None:
    for path in folder.glob("checkpoint-*"):
        if _CHECKPOINT.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


def settle(folder: Path) -> None:
    """Do what a process left undone that died after its result was written; nothing for a run that is alive.

    A run's claim, its status and the checkpoints that it was not to keep, a file that was never renamed into place:
    whatever cannot be removed stays, for `verify` to name.
    """
    result = read_result(folder)
    if result is None or is_live(folder):
        return
    with suppress(OSError, ValueError):
        status = read_json(folder / "status.json", STATUS)
        if status["state"] != result["state"]:
            write_json(folder / "status.json", status | {"state": result["state"]})
    for path in [*(path for _, path in claims(folder)), *_old(temporaries(folder))]:
        with suppress(OSError):
            path.unlink()
    if keep(folder) in ("none", "weights"):
        remove_checkpoints(folder)


def leftovers(folder: Path) -> Iterator[str]:
    """Yield the names of what a finished run has no use for, sorted."""
    for pattern in PASSING[keep(folder) == "all" :]:
        yield from sorted(path.name for path in folder.glob(pattern))


def keep(folder: Path) -> str | None:
    """Return what a run was to keep, as its config.yaml says; None where that cannot be read."""
    try:
        found = re.search(rb"^keep: (\w+)$", contents(folder / "config.yaml", 2**20), re.MULTILINE)
    except (OSError, ValueError):
        return None
    return found[1].decode() if found else None


def _old(paths: Iterator[Path]) -> Iterator[Path]:
    """Leave out what may be written at this moment: a merge holds no claim."""
    for path in paths:
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > STALE:
                yield path
