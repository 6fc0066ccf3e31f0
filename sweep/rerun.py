"""Run finished runs again, elsewhere, and compare bits where the platform is the same."""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.errors import UsageError
from record import read_result, run_folder
from record.files import one_line
from record.read import run_folders
from sweep import again
from sweep.backend import Child, command
from sweep.plan import Planned, Words

Row = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """kind: equal, alarm (same platform, other bits), other platform, another run (the code has changed), failed."""

    folder: Path
    kind: str
    detail: str

    @property
    def line(self) -> str:
        return f"{self.kind}: {self.folder.name}: {self.detail}"


def find(store: Path, run: str) -> Path:
    """Return the folder of a run, given by its folder or its id (or the beginning of it)."""
    if (Path(run) / "result.json").exists():
        return Path(run)
    found = [folder for folder in run_folders(store) if folder.name.partition("-")[2].startswith(run)]
    if len(found) != 1:
        raise UsageError(f"run: {len(found)} runs in {store} have an id that begins with {run!r}; allowed: one")
    return found[0]


def sample(store: Path, runs: Sequence[Planned], count: int, seed: int) -> list[Path]:
    """Draw `count` finished runs of a plan."""
    finished = [store / run.folder for run in runs if (store / run.folder / "result.json").exists()]
    if len(finished) < count:
        raise UsageError(f"--random: {count} asked for, {len(finished)} finished")
    return sorted(random.Random(seed).sample(finished, count))


def rerun(folder: Path, trust: bool = False) -> Verdict:
    """Make a finished run again in a store of its own, from its verified configuration, and compare.

    trust: whether code of a class may be run that is neither this suite's, torch's nor an installed entry point's.
    Raises UsageError where it may not, and for a class in the store itself.
    """
    stored = _stored(folder)
    config = stored["config"]
    _require_trust(folder, config, trust)
    if config.get("world_size", 1) > 1:
        return Verdict(folder, "failed", f"was made by {config['world_size']} processes; a rerun makes it with one")
    try:
        words = again.words(config)
    except UsageError as error:
        return Verdict(folder, "another run", str(error))
    fresh, said = _made(words, config, str(stored["platform"]["threads"] or 1))
    return Verdict(folder, "failed", said) if fresh is None else _compare(folder, stored, fresh)


def _stored(folder: Path) -> Row:
    for path in (folder, *folder.parents[:3]):
        if path.is_symlink():
            raise UsageError(f"{path}: a symbolic link; a run is a folder")
    try:
        stored = read_result(folder)
    except ValueError as error:
        raise UsageError(one_line(error)) from error
    if stored is None:
        raise UsageError(f"{folder}: is not finished")
    return stored


def _require_trust(folder: Path, config: Row, trust: bool) -> None:
    target = again.foreign(config)
    if target is None:
        return
    if again.lies_in(target, folder.absolute().parents[3]):
        raise UsageError(f"{folder}: {target!r} lies in the store; no code of a store is run")
    if not trust:
        raise UsageError(
            f"{folder}: would run {target!r}, which is neither this suite's, torch's nor an installed entry point's; "
            "with --trust it does"
        )


def _made(words: Words, config: Row, threads: str) -> tuple[Row | None, str]:
    """Make a run in a store that is gone afterwards; returns its result, None without one, and its last line.

    Its output goes to a file: processes that it leaves behind would keep a pipe open for ever. They are killed.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as there:
        store, log = Path(there) / "runs", Path(there) / "log.txt"
        child = Child(command(words, store), log, {"OMP_NUM_THREADS": threads})
        try:
            code = child.wait()
        finally:
            child.stop(hard=True)
        lines = log.read_text(errors="replace").strip().splitlines()
        return read_result(run_folder(store, config)), one_line(lines[-1]) if lines else f"exit code {code}"


def _compare(folder: Path, stored: Row, fresh: Row) -> Verdict:
    hashes = [str(result.get("weights_sha256"))[:12] for result in (stored, fresh)]
    if hashes[0] == hashes[1]:
        return Verdict(folder, "equal", f"weights {hashes[0]}")
    kind = "alarm" if fresh["platform"] == stored["platform"] else "other platform"
    return Verdict(folder, kind, f"weights {hashes[0]} then, {hashes[1]} now")
