"""Reading a store: fast, without YAML or torch, and without trusting what is in it."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isclose
from pathlib import Path
from typing import Any

from record.claim import is_live
from record.files import SCHEMA, one_line, read_as
from record.identity import identified
from record.lines import last_rows
from record.schema import Configured, Result, StatusFile, check

Row = dict[str, Any]
MOST_COUNTED = 1_000_000  # fractions of so many are at least 1e-12 apart, and a percentage's rounding
NO_METRIC = {"kind", "epoch", "step", "seconds"}  # what an epoch's row holds beside metrics
TAIL = 2**16  # bytes of metrics.jsonl that every reader of a store looks at: the last rows
ROUNDING = 4e-15  # and that of a sum over a test set, relative, is less than half of it


@dataclass(frozen=True)
class Status:
    """A run at a glance. state: missing, running, stopped, failed, done or diverged."""

    state: str
    kind: str = ""
    message: str = ""
    attempt: int = 0

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return self.state in ("done", "diverged")


def read_result(folder: Path) -> Result | None:
    """Return a finished run's result, None if there is none.

    Raises ValueError, one line that names the file, for a result that is torn, malformed, of a newer schema, or of
    another run than its id, its group and its folder say.
    """
    try:
        return checked(folder / "result.json")
    except FileNotFoundError:
        return None


def checked(path: Path) -> Result:
    """Read one result in a run folder. Raises FileNotFoundError, or ValueError as `read_result` does."""
    content = read_as(Row, path)
    schema = content.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        raise ValueError(f"{path}: schema {schema!r}; this version reads up to {SCHEMA}: update the suite")
    try:
        check(content, Configured)
        result = check(content, Result)
        _require_names_without_dots({**content, "labels": None, "config": dict.fromkeys(content["config"])})
        _require_its_own_place(result, path.absolute().parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return result


def _require_names_without_dots(node: Mapping[str, object]) -> None:
    """Raise ValueError for a name that, flattened, would pass for a value that was checked: `metrics.test_top1`."""
    for name, value in node.items():
        if "." in name:
            raise ValueError(f"a dot in the name {name!r}")
        if isinstance(value, dict):
            _require_names_without_dots(value)


def _require_its_own_place(result: Result, folder: Path) -> None:
    own = identified(result["config"])
    if own.config != result["config"] or own.id != result["id"]:
        raise ValueError(f"its configuration is not the one of its id {result['id']}")
    if own.group_id != result["group_id"]:
        raise ValueError(f"its configuration is not the one of its group {result['group_id']}")
    if folder.parts[-4:] != own.place.parts:
        raise ValueError(f"is a result of {own.place}, which is not its folder's place in a store")


def read_status(folder: Path) -> StatusFile | None:
    """Return what a run's process wrote last, None if it wrote nothing. Raises ValueError, one line, if malformed."""
    try:
        return read_as(StatusFile, folder / "status.json")
    except FileNotFoundError:
        return None


def status(folder: Path) -> Status:
    """Return the state of a run. A run whose process ended without writing one is `stopped`: run it again."""
    try:
        result = read_result(folder)
    except ValueError as error:
        return Status("failed", "damaged", one_line(error))
    if result is not None:
        return Status(result["state"], attempt=result["attempts"])
    last = _last(folder)
    return Status("running", attempt=last.attempt) if is_live(folder) else last


def _last(folder: Path) -> Status:
    """Return the state of an unfinished run without a process."""
    try:
        last = read_status(folder)
    except ValueError as error:
        return Status("stopped", "damaged", one_line(error))
    if last is None:
        return Status("missing")
    state = "failed" if last["state"] == "failed" else "stopped"
    return Status(state, one_line(last.get("kind", "")), one_line(last.get("message", "")), last["attempt"])


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


def behind_a_link(store: Path, folder: Path) -> bool:
    """Tell whether a folder of a store lies elsewhere: whoever copies or removes what is in it leaves it out."""
    return folder.resolve() != store.resolve() / folder.relative_to(store)


def read_store(store: Path | str) -> tuple[list[Row], list[str]]:
    """Return the finished runs as flat rows (`config.optimizer.lr`, `metrics.test_top1`, ...), and the complaints.

    A complaint is one line about a run that was left out: torn, malformed, of a newer schema, or half copied. An
    unfinished run is no complaint. Rows are in order of folder, whatever the file system's order is.
    """
    rows, complaints = [], []
    for folder in run_folders(Path(store)):
        try:
            rows += [_row(folder, result) for result in [complete(folder)] if result is not None]
        except ValueError as error:
            complaints.append(one_line(error))
    return rows, complaints


def complete(folder: Path) -> Result | None:
    """Return the result of a finished run whose metrics are there too; None for an unfinished run.

    Raises ValueError, one line, as `read_result` does, and for a folder that is no run or a half copied one.
    """
    result = read_result(folder)
    if result is None:
        if not (folder / "status.json").exists():
            raise ValueError(f"{folder}: not a run (neither result.json nor status.json)")
        return None
    path = folder / "metrics.jsonl"
    if not os.path.lexists(path):
        raise ValueError(f"{folder}: half copied (metrics.jsonl is missing)")
    try:
        fault = metrics_fault(result, last_rows(path, TAIL))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    if fault:
        raise ValueError(f"{folder}: {fault}")
    return result


def metrics_fault(result: Result, rows: Iterable[Row], whole: bool = False) -> str | None:
    """Return, in one line, where a result contradicts the row of the epoch that it was judged by; None if it does not.

    rows: of metrics.jsonl, the last first, its last ones or, where `whole`, all.
    """
    other = "the result's metrics are not those of its row in metrics.jsonl"
    chosen = result.get("selected") or {}
    epochs = (row for row in rows if row.get("kind") == "epoch")
    row = next((row for row in epochs if row.get("epoch") == chosen.get("epoch", row.get("epoch"))), None)
    if row is None:
        return other if whole and result["metrics"] else None
    expected = {key: value for key, value in row.items() if key not in NO_METRIC}
    scored_later = not any(key.startswith("test_") for key in expected)  # the chosen epoch was scored at the end
    added = result["metrics"].keys() - expected.keys()
    if scored_later:
        added = {key for key in added if not key.startswith(("test_", "validation_"))}
    if added or any(result["metrics"].get(key) != value for key, value in expected.items()):
        return other
    if any(row.get(key) != value for key, value in chosen.items()):
        return "the result's selected epoch is not the one in metrics.jsonl"
    return None


def _row(folder: Path, result: Result) -> Row:
    config = result["config"]
    names = {"data": config["data"]["name"], "model": config["model"]["name"], "optimizer": config["optimizer"]["name"]}
    return {**flat(result), "folder": str(folder), "seed": config["seed"], **names}


def flat(node: Mapping[str, Any], prefix: str = "") -> Row:
    """Flatten nested dicts to dotted keys; lists and empty dicts stay values."""
    leaves: Row = {}
    for key, value in node.items():
        if isinstance(value, dict) and value:
            leaves.update(flat(value, f"{prefix}{key}."))
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def exact(value: float) -> Fraction:
    """Return a percentage as the share that was counted, of which a float keeps the nearest; any other number as it is.

    Equal counts give equal fractions, whatever they are added up to, and in whatever order. Raises ValueError or
    OverflowError for what is not finite.
    """
    share = Fraction(value).limit_denominator(MOST_COUNTED)
    return share if isclose(share, value, rel_tol=ROUNDING) else Fraction(value)
