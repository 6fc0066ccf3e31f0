"""Is a store sound? Schema, checksums, orphans."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from record import read_lines, read_result, read_store, status
from record.checkpoint import weights_hash
from record.read import run_folders

EXPECTED = ("config.yaml", "environment.json", "metrics.jsonl", "result.json", "status.json")
LEFTOVERS = ("checkpoint-*", "claim-*", ".*.tmp")


def verify(store: Path) -> tuple[int, list[str]]:
    """Check every run of a store; returns how many are sound and one line for each thing that is not.

    Weights are hashed again (that takes torch, and about a second a gigabyte). An unfinished run that no process has
    is named as such: the same command goes on with it.
    """
    _, complaints = read_store(store)
    damaged = {complaint.partition(": ")[0] for complaint in complaints}
    sound, lines = 0, list(complaints)
    for folder in run_folders(store):
        if str(folder) in damaged or str(folder / "result.json") in damaged:
            continue
        found = list(_finished(folder) if status(folder).finished else _unfinished(folder))
        sound += not found
        lines += [f"{folder}: {line}" for line in found]
    return sound, lines


def _finished(folder: Path) -> Iterator[str]:
    result = read_result(folder) or {}
    for name in EXPECTED:
        if not (folder / name).exists():
            yield f"{name} is missing"
    metrics = folder / "metrics.jsonl"
    if metrics.exists() and hashlib.sha256(metrics.read_bytes()).hexdigest() != result.get("metrics_sha256"):
        yield "metrics.jsonl is not the one that the result speaks of"
    if (folder / "weights.pt").exists() and result.get("weights_sha256"):
        yield from _weights(folder / "weights.pt", result["weights_sha256"])
    keeps = (folder / "config.yaml").exists() and "keep: all" in (folder / "config.yaml").read_text()
    for pattern in LEFTOVERS[keeps:]:
        yield from (f"{path.name} is left over" for path in folder.glob(pattern))


def _unfinished(folder: Path) -> Iterator[str]:
    found = status(folder)
    if found.state != "running":
        yield f"unfinished, {found.state} {found.message}".strip()
    torn = read_lines(folder / "metrics.jsonl")[1]
    if torn and found.state != "running":
        yield f"metrics.jsonl has {torn} torn line(s); a resume cuts them off"


def _weights(path: Path, expected: str) -> Iterator[str]:
    import torch

    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever unpickling a damaged file raises
        yield f"weights.pt cannot be read ({type(error).__name__})"
        return
    if weights_hash(weights) != expected:
        yield "weights.pt is not what the result speaks of"
