"""Reading a store: fast, without YAML or torch, and without trusting what lies in it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record.claim import is_live
from record.files import MOST_LINES, SCHEMA, read_json
from record.identity import group_id, run_folder, run_id
from record.regular import one_line, open_regular
from record.schema import RESULT, STATUS, check

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

    Raises ValueError, one line that names the file, for a result that is torn, alien, of a newer schema, or of another
    run than its id, its group and its folder say.
    """
    try:
        return checked(folder / "result.json")
    except FileNotFoundError:
        return None


def checked(path: Path) -> Row:
    """Read one result in a run folder. Raises FileNotFoundError, or ValueError as `read_result` does."""
    result = read_json(path)
    schema = result.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise ValueError(f"{path}: schema {schema!r}; this version reads up to {SCHEMA}: update the suite")
    try:
        check(result, RESULT)
        _require_itself(result, path.absolute().parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return result


def _require_itself(result: Row, folder: Path) -> None:
    if run_id(result["config"]) != result["id"]:
        raise ValueError(f"its configuration is not the one of its id {result['id']}")
    if group_id(result["config"]) != result["group_id"]:
        raise ValueError(f"its configuration is not the one of its group {result['group_id']}")
    place = run_folder("", result["config"])
    if folder.parts[-4:] != place.parts:
        raise ValueError(f"is a result of {place}, which is not its folder's place in a store")


def read_status(folder: Path) -> Row | None:
    """Return what a run's process said last, None if it said nothing. Raises ValueError, one line, for alien words."""
    try:
        return read_json(folder / "status.json", STATUS)
    except FileNotFoundError:
        return None


def status(folder: Path) -> Status:
    """Tell what state a run is in. A run whose process is gone without a word is `stopped`: run it again."""
    try:
        result = read_result(folder)
    except ValueError as error:
        return Status("failed", "damaged", one_line(error))
    if result is not None:
        return Status(result["state"], attempt=result["attempts"])
    if is_live(folder):
        return Status("running", attempt=_last(folder).attempt)
    return _last(folder)


def _last(folder: Path) -> Status:
    """Tell what an unfinished run without a process came to."""
    try:
        said = read_status(folder)
    except ValueError as error:
        return Status("stopped", "damaged", one_line(error))
    if said is None:
        return Status("missing")
    state = "failed" if said["state"] == "failed" else "stopped"
    return Status(state, one_line(said.get("kind", "")), one_line(said.get("message", "")), said["attempt"])


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
    except OSError:  # whoever reads it gets the error, and names it
        yield folder
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
            rows += [_row(folder, result) for result in [complete(folder)] if result is not None]
        except ValueError as error:
            complaints.append(one_line(error))
    return rows, complaints


def complete(folder: Path) -> Row | None:
    """Return a finished run's result, with whose metrics a reader can count; None for an unfinished run."""
    result = read_result(folder)
    if result is None:
        if not (folder / "status.json").exists():
            raise ValueError(f"{folder}: not a run (neither result.json nor status.json)")
        return None
    try:
        open_regular(folder / "metrics.jsonl", most=MOST_LINES).close()
    except FileNotFoundError:
        raise ValueError(f"{folder}: half copied (metrics.jsonl is missing)") from None
    except OSError as error:
        raise ValueError(f"{folder / 'metrics.jsonl'}: cannot be read ({error.strerror})") from error
    return result


def _row(folder: Path, result: Row) -> Row:
    names = {group: result["config"][group]["name"] for group in ("data", "model", "optimizer")}
    return {**flat(result), "folder": str(folder), "seed": result["config"]["seed"], **names}


def flat(node: Row, prefix: str = "") -> Row:
    """Flatten nested dicts to dotted keys; lists and empty dicts stay values."""
    leaves: Row = {}
    for key, value in node.items():
        name = f"{prefix}{key}"
        leaves |= flat(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return leaves
