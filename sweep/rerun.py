"""Run finished runs again, elsewhere, and compare bits where the platform is the same."""

import os
import random
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.errors import Mistake
from record import read_result
from record.files import read_json
from record.read import run_folders
from sweep.backend import command
from sweep.plan import ROOT, Planned


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
        raise Mistake(f"run: {len(found)} runs in {store} have an id that begins with {run!r}; allowed: one")
    return found[0]


def sample(store: Path, runs: Sequence[Planned], count: int, seed: int) -> list[Path]:
    """Draw `count` finished runs of a plan."""
    finished = [store / run.folder for run in runs if (store / run.folder / "result.json").exists()]
    if len(finished) < count:
        raise Mistake(f"--random: {count} asked for, {len(finished)} finished")
    return sorted(random.Random(seed).sample(finished, count))


def rerun(folder: Path) -> Verdict:
    """Make a finished run again in a store of its own, with its command line and thread count, and compare."""
    stored = read_result(folder)
    if stored is None:
        raise Mistake(f"{folder}: is not finished")
    words = read_json(folder / "environment.json")["attempts"][-1]["overrides"]
    words = [word for word in words if not re.match(r"\+*paths\.store=", word)]
    threads = str(stored["platform"].get("threads") or 1)
    with tempfile.TemporaryDirectory() as there:
        done = subprocess.run(
            command(words, Path(there)),
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
        )
        fresh = next((read_result(path) for path in run_folders(Path(there))), None)
    if fresh is None:
        return Verdict(folder, "failed", (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return _compare(folder, stored, fresh)


def _compare(folder: Path, stored: dict[str, Any], fresh: dict[str, Any]) -> Verdict:
    if fresh["id"] != stored["id"]:
        return Verdict(folder, "another run", f"the same command line makes {fresh['id']} today; a config has changed")
    hashes = [str(result.get("weights_sha256"))[:12] for result in (stored, fresh)]
    if hashes[0] == hashes[1]:
        return Verdict(folder, "equal", f"weights {hashes[0]}")
    kind = "alarm" if fresh["platform"] == stored["platform"] else "other platform"
    return Verdict(folder, kind, f"weights {hashes[0]} then, {hashes[1]} now")
