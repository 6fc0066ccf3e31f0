"""Where and from what a run was made: stored beside the result, and no part of its identity. Torch-free.

Also what depends on the machine: the references of wall-clock budgets, which are runs in a store for each machine.
"""

import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from record.files import read_as
from record.identity import canonical_json, complete, run_folder, run_id
from record.read import read_result, run_folders
from record.schema import Attempt, Environment, Platform, Provenance

# What chose a configuration's values: its name in a result, and its key in the configuration.
LABELS = {"protocol": "protocol_name", "scale": "scale_name", "tuned": "tuned", "source": "source", "notes": "notes"}
_REFERENCES = ".references"
LATER = ("dirty", "source")  # what older results do not repeat of their environment
MOST_DIFF, MOST_NEW = 2**18, 100  # bytes of a stored diff, and untracked files in it
_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("torch", "torchvision", "timm", "numpy", "scikit-learn", "hydra-core", "omegaconf", "triton")


@lru_cache
def environment() -> dict[str, Any]:
    """Return commit, versions and machine. What needs torch (device kind and name, threads) the trainer adds.

    commit, dirty: None outside a git checkout or without git. An untracked file makes it dirty too.
    """
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain") if head else None
    return {
        "commit": head,
        "dirty": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "host": platform.node(),
        "system": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
    }


@lru_cache
def code_diff() -> str:
    """Return what differs from the commit: names, then a diff of the changed files and of the untracked small ones.

    Empty where nothing differs. Of more than MOST_DIFF bytes only the names are there.
    """
    if not environment()["dirty"]:
        return ""
    names = _git("status", "--porcelain", "--untracked-files=all") or ""
    new = [line[3:] for line in names.splitlines() if line.startswith("?? ") and not line.endswith('"')]
    small = [name for name in new[:MOST_NEW] if _size(_ROOT / name) <= MOST_DIFF]
    diffs = [_git("diff", "HEAD", "--no-color")]
    diffs += [_git("diff", "--no-color", "--no-index", "--", os.devnull, name) for name in small]
    text = "\n".join([names, *filter(None, diffs)])
    return (text if len(text) <= MOST_DIFF else names[:MOST_DIFF]) + "\n"


def _size(path: Path) -> float:
    try:
        return path.stat().st_size
    except OSError:  # gone since git has seen it
        return math.inf


def _git(*words: str) -> str | None:
    try:
        line = ["git", "-C", str(_ROOT), *words]
        done = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode in (0, 1) else None  # 1: a diff between two files found something


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def config_text(config: Mapping[str, Any]) -> bytes:
    """Write a configuration as config.yaml holds it."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(dict(config))).encode()


def labels_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what chose a configuration's values, by name; none of it is part of its identity."""
    return {name: config.get(key) for name, key in LABELS.items()}


def provenance(attempts: Sequence[Attempt]) -> Provenance:
    """Return what a result repeats of its environment.json.

    attempts: at least one, in order of time.
    """
    first, last = attempts[0], attempts[-1]
    return {
        "platform": platform_of(last),
        "machine": {"host": last.get("host"), "cpu": last.get("cpu"), "gpu": last.get("gpu")},
        "one_platform": len({canonical_json(platform_of(attempt)) for attempt in attempts}) == 1,
        "attempts": len(attempts),
        "commits": sorted({str(attempt.get("commit")) for attempt in attempts}),
        "dirty": any(attempt.get("dirty") for attempt in attempts),
        "source": _one_source([attempt.get("source", {}) for attempt in attempts]),
        "started": first["started"],
    }


def _one_source(hashes: Sequence[Mapping[str, str]]) -> dict[str, str | None]:
    """Return the hash of each group's code, None where it changed from one attempt to another."""
    groups = hashes[-1]
    return {group: groups[group] if len({other.get(group) for other in hashes}) == 1 else None for group in groups}


def platform_of(attempt: Attempt) -> Platform:
    """Return what must be equal for equal bits to be expected: device kind, torch version, thread count."""
    torch = attempt["versions"].get("torch")
    return {"device": attempt.get("device"), "torch": torch, "threads": attempt.get("threads")}


def reference_store(store: Path | str, facts: dict[str, Any]) -> Path:
    """Return the store of this machine's references. facts: device, gpu and threads."""
    here = environment()
    return Path(store, _REFERENCES, run_id({"host": here["host"], "cpu": here["cpu"], **facts}))


def epoch_seconds(config: dict[str, Any]) -> float | None:
    """Return a reference's median epoch in seconds, None if it has not been run.

    Raises ValueError, one line, for a reference that has diverged, and for a result that is torn or gives no time.
    """
    folder = run_folder(config["paths"]["store"], complete(config))
    result = read_result(folder)
    if result is None:
        return None
    if result["state"] != "done":
        raise ValueError(f"budget.reference: its run has {result['state']}, and gives no time; see {folder}")
    median = result.get("time", {}).get("epoch_seconds", {}).get("median")
    if median is None or median <= 0:
        raise ValueError(f"{folder / 'result.json'}: no time of an epoch ({median!r}); delete the folder")
    return float(median)


def fixed_seconds(config: dict[str, Any]) -> float | None:
    """Return the seconds that a run was given when it first started, None if it never was."""
    path = run_folder(config["paths"]["store"], complete(config)) / "environment.json"
    with suppress(OSError, ValueError):
        attempts = read_as(Environment, path)["attempts"]
        return next((attempt["budget_seconds"] for attempt in attempts if "budget_seconds" in attempt), None)
    return None


def measured(store: Path | str, threads: int) -> set[str]:
    """Return the ids of the references that are finished on this machine with so many threads."""
    found = set()
    for place in Path(store, _REFERENCES).glob("*"):
        for folder in run_folders(place):
            try:
                result = read_result(folder)
            except ValueError:  # damaged: whoever needs it says so
                continue
            if result and result["machine"].get("host") == platform.node():
                found |= {result["id"]} if result["platform"]["threads"] == threads else set()
    return found
