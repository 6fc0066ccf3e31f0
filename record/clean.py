"""What a finished run has no use for, its removal where that is safe, and what its owner no longer wants."""

import re
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from record.checkpoint import found, remove_all
from record.claim import STALE, claims, is_live
from record.files import contents, digest, read_as, temporaries, write_json
from record.read import behind_a_link, read_result, run_folders
from record.schema import StatusFile

REPLACED = ".replaced"  # below a store: the runs that were made again
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


def set_aside(store: Path, folder: Path) -> None:
    """Move a finished run's folder to `.replaced`, where no reader looks, so that it can be made again."""
    if not (folder / "result.json").exists() or is_live(folder):
        return
    kept = store / REPLACED / folder.relative_to(store)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # another process was first
        folder.rename(kept.with_name(f"{kept.name}-{digest(folder / 'result.json')[:8]}-{time.time_ns()}"))


def free(store: Path, days: float = 0.0, only: Collection[Path] | None = None, dry: bool = False) -> tuple[int, int]:
    """Remove weights and checkpoints of finished runs, and replaced runs whole; returns the files and their bytes.

    No link is followed. days: since the run finished, at least. only: folders of runs, relative to the store; None
    takes all. dry: nothing is removed. Raises OSError.
    """
    paths = list(_disposable(store, time.time() - 86_400 * days, only))
    size = sum(path.lstat().st_size for path in paths)
    for path in paths if not dry else ():
        path.unlink()
    for folder in _own_folders(store, store / REPLACED):
        with suppress(OSError):  # not empty
            folder.rmdir()
    return len(paths), size


def _disposable(store: Path, latest: float, only: Collection[Path] | None) -> Iterator[Path]:
    for folder in _own_folders(store, store):
        if (only is None or folder.relative_to(store) in only) and _ended_before(latest, folder):
            yield from [*folder.glob("weights.pt"), *found(folder)]
    for folder in _own_folders(store, store / REPLACED):
        name = "-".join(folder.name.split("-")[:2])  # behind it: the hash of its result
        run = folder.relative_to(store / REPLACED).with_name(name)
        if (only is None or run in only) and _ended_before(latest, folder):
            yield from (path for path in folder.rglob("*") if not path.is_dir())


def _own_folders(store: Path, place: Path) -> Iterator[Path]:
    """Yield the folders of runs below `place`, without those that a link leads to: they are another store's."""
    return (folder for folder in run_folders(place) if not behind_a_link(store, folder))


def _ended_before(latest: float, folder: Path) -> bool:
    try:
        return (folder / "result.json").stat().st_mtime <= latest and not is_live(folder)
    except FileNotFoundError:
        return False


def leftovers(folder: Path) -> Iterator[str]:
    """Yield the names of what a finished run has no use for, sorted."""
    for pattern in PASSING[keep(folder) == "all" :]:
        yield from sorted(path.name for path in folder.glob(pattern))


def keep(folder: Path) -> str | None:
    """Return what a run was to keep, as its config.yaml says; None where that cannot be read."""
    try:
        said = re.search(rb"^keep: (\w+)$", contents(folder / "config.yaml", 2**20), re.MULTILINE)
    except (OSError, ValueError):
        return None
    return said[1].decode() if said else None


def _old(paths: Iterator[Path]) -> Iterator[Path]:
    """Leave out what may be written at this moment: a merge holds no claim."""
    for path in paths:
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > STALE:
                yield path
