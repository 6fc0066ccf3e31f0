"""What a finished run has no use for, and its removal where that is safe."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from record.checkpoint import remove_all
from record.claim import STALE, claims, is_live
from record.files import contents, read_as, temporaries, write_json
from record.read import read_result
from record.schema import StatusFile

PASSING = ("checkpoint-*", "claim-*", ".*.tmp")  # what a finished run has no use for, by pattern


def clean_finished(folder: Path) -> None:
    """Do what a process left undone that died after its result was written; nothing for a run that is alive.

    A run's claim, its status and the checkpoints that it was not to keep, a file that was never renamed into place:
    whatever cannot be removed stays, and `sweep verify` names it. Raises ValueError as `read_result` does.
    """
    result = read_result(folder)
    if result is None or is_live(folder):
        return
    with suppress(OSError, ValueError):
        status = read_as(StatusFile, folder / "status.json")
        if status["state"] != result["state"]:
            write_json(folder / "status.json", {**status, "state": result["state"]})
    for path in [*(path for _, path in claims(folder)), *_old(temporaries(folder))]:
        with suppress(OSError):
            path.unlink()
    if keep(folder) in ("none", "weights"):
        remove_all(folder)


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
