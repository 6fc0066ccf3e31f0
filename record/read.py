"""Reading a store: fast, without YAML or torch, and without trusting what lies in it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record.claim import is_live
from record.files import SCHEMA, read_json
from record.identity import run_id

Row = dict[str, Any]


@dataclass(frozen=True)
class Status:
    """A run at a glance. state: missing, running, stopped, failed, done or diverged."""

    state: str
    kind: str = ""
    message: str = ""
    attempt: int = 0

    @property
    def finished(self) -> bool:
        return self.state in ("done", "diverged")


def read_result(folder: Path) -> Row | None:
    """Return a finished run's result, None if there is none.

    Raises ValueError, one line, for a result that is torn, of a newer schema, or of another configuration than its
    id and its folder say.
    """
    path = folder / "result.json"
    try:
        result = read_json(path)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error
    schema = result.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise ValueError(f"{path}: schema {schema!r}; this version reads up to {SCHEMA}: update the suite")
    if not isinstance(result.get("config"), dict) or run_id(result["config"]) != result.get("id"):
        raise ValueError(f"{path}: its configuration is not the one of its id {result.get('id')}")
    if not folder.name.endswith(f"-{result['id']}"):
        raise ValueError(f"{path}: has the id {result['id']}, which is not its folder's")
    return result


def status(folder: Path) -> Status:
    """Tell what state a run is in. A run whose process is gone without a word is `stopped`: run it again."""
    try:
        result = read_result(folder)
    except ValueError as error:
        return Status("failed", "damaged", str(error))
    if result is not None:
        return Status(str(result["state"]), attempt=int(result["attempts"]))
    try:
        content = read_json(folder / "status.json")
    except (OSError, ValueError):
        return Status("running" if is_live(folder) else "missing")
    state, words = str(content.get("state")), {key: str(content.get(key, "")) for key in ("kind", "message")}
    if is_live(folder):
        state = "running"
    elif state != "failed":
        state = "stopped"
    return Status(state, attempt=int(content.get("attempt", 0)), **words)


def run_folders(store: Path) -> Iterator[Path]:
    """Yield every folder of the shape <store>/<data>/<model>/<optimizer>/s<seed>-<id>, sorted."""
    yield from _below(Path(store), depth=4)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if depth == 0:
        yield folder
        return
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except FileNotFoundError:
        return
    for name in names:
        yield from _below(folder / name, depth - 1)


def read_store(store: Path | str) -> tuple[list[Row], list[str]]:
    """Return the finished runs as flat rows (`config.optimizer.lr`, `metrics.test_top1`, ...), and the complaints.

    A complaint is one line about a run that was left out: torn, alien, of a newer schema, or half copied. Runs that
    are merely unfinished are no complaint. Rows are in order of folder, whatever the file system's order is.
    """
    rows, complaints = [], []
    for folder in run_folders(Path(store)):
        try:
            result = read_result(folder)
        except ValueError as error:
            complaints.append(str(error))
            continue
        if result is None:
            if not (folder / "status.json").exists():
                complaints.append(f"{folder}: not a run (neither result.json nor status.json)")
            continue
        if not (folder / "metrics.jsonl").exists():
            complaints.append(f"{folder}: half copied (metrics.jsonl is missing)")
            continue
        rows.append(_row(folder, result))
    return rows, complaints


def _row(folder: Path, result: Row) -> Row:
    names = {group: result["config"][group]["name"] for group in ("data", "model", "optimizer")}
    return {"folder": str(folder), "seed": result["config"]["seed"], **names, **flat(result)}


def flat(node: Row, prefix: str = "") -> Row:
    """Flatten nested dicts to dotted keys; lists and empty dicts stay values."""
    leaves: Row = {}
    for key, value in node.items():
        name = f"{prefix}{key}"
        leaves |= flat(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return leaves
