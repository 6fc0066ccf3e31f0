"""Stores merge: commutative, associative, idempotent. Only finished runs travel."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from record.claim import is_live
from record.files import read_json, write_atomic
from record.identity import canonical_json
from record.read import read_result, run_folders

Row = dict[str, Any]


@dataclass(frozen=True)
class Conflict:
    """Two results of one id with different bits. kind: `alarm` on equal platforms, else `other platform`."""

    folder: str
    kind: str
    detail: str


def merge(sources: Sequence[Path | str], destination: Path | str) -> tuple[list[Conflict], list[str]]:
    """Bring the finished runs of `sources` into `destination`.

    Of several results of one id the one with the smallest hash stands as result.json, with its files; the others are
    kept beside it as `result.<hash>.json`. Returns the conflicts in the merged store and one line for each run left
    out. The outcome depends neither on the order nor on the grouping nor on the number of merges; a merge that is
    killed is completed by the next.
    """
    for source in sources:
        if not Path(source).is_dir():
            raise FileNotFoundError(f"merge: no store at {source}")
    Path(destination).mkdir(parents=True, exist_ok=True)
    left_out = []
    touched: set[Path] = set()
    for source in map(Path, sources):
        for folder in run_folders(source):
            try:
                result = read_result(folder)
            except ValueError as error:
                left_out.append(str(error))
                continue
            target = Path(destination) / folder.relative_to(source)
            if result is None:
                left_out.append(f"{folder}: unfinished")
            elif is_live(target):
                left_out.append(f"{folder}: running in {destination}")
            elif folder.resolve() != target.resolve():
                _merge_run(folder, target)
                touched.add(target)
    return [conflict for target in sorted(touched) for conflict in conflicts(target)], left_out


def conflicts(folder: Path) -> list[Conflict]:
    """Return one conflict for each result beside the standing one that has other bits."""
    results = _results(folder)
    standing = read_json(folder / "result.json")
    return [
        Conflict(str(folder), _kind(standing, other), f"{_bits(standing)[:12]} and {_bits(other)[:12]}")
        for _, other in sorted(results.items())
        if _bits(other) != _bits(standing)
    ]


def _merge_run(source: Path, target: Path) -> None:
    theirs, ours = _results(source), _results(target)
    everything = theirs | ours
    smallest = min(everything)
    target.mkdir(parents=True, exist_ok=True)
    for key, result in everything.items():
        if key != smallest:
            write_atomic(target / f"result.{key}.json", _content(result))
    before = _standing(target)
    if _standing(source) == smallest:
        _adopt(source, target, replace=before != smallest)
    if before != smallest:
        write_atomic(target / "result.json", _content(everything[smallest]))
    (target / f"result.{smallest}.json").unlink(missing_ok=True)


def _adopt(source: Path, target: Path, *, replace: bool) -> None:
    """Copy the files that belong to a result. Of two versions of one file of one result the smaller digest stands."""
    names = {
        path.name
        for path in source.iterdir()
        if path.is_file() and not path.name.startswith((".", "result.", "claim-"))
    }
    if replace:
        for path in target.iterdir():
            if path.is_file() and not path.name.startswith("result.") and path.name not in names:
                path.unlink()
    for name in sorted(names):
        content, present = (source / name).read_bytes(), target / name
        if replace or not present.exists() or _digest(content) < _digest(present.read_bytes()):
            write_atomic(present, content)


def _results(folder: Path) -> dict[str, Row]:
    """Return all readable results of a run folder by their hash."""
    found = {}
    for path in sorted(folder.glob("result*.json")) if folder.is_dir() else []:
        try:
            result = read_json(path)
        except ValueError:
            continue  # torn: it proves nothing
        found[_digest(canonical_json(result).encode())] = result
    return found


def _standing(folder: Path) -> str | None:
    try:
        return _digest(canonical_json(read_json(folder / "result.json")).encode())
    except (OSError, ValueError):
        return None


def _content(result: Row) -> bytes:
    import json

    return (json.dumps(result, indent=1, allow_nan=False) + "\n").encode()


def _kind(one: Row, other: Row) -> str:
    same = one.get("platform") == other.get("platform") and one.get("one_platform") and other.get("one_platform")
    return "alarm" if same else "other platform"


def _bits(result: Row) -> str:
    """Return what must repeat: the final weights' hash, or that of the metrics where there are no weights."""
    return str(result.get("weights_sha256") or _digest(canonical_json(result.get("metrics")).encode()))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
