"""Which run is it? The part of a configuration that can change the result, and its hash."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Config = dict[str, Any]

# Keys that cannot change a result. Of `tuned`, `source`, `protocol_name` and `scale_name` only the values that they
# chose matter, and these are in the configuration themselves; the names are stored in the result as labels.
NOT_SEMANTIC = (
    *("paths", "logger", "progress", "device", "workers", "threads", "traceback", "checkpoint", "keep", "log", "rerun"),
    *("warnings", "canaries", "config_warnings", "doubts"),  # canaries and doubts: their names in older results
    *("tuned", "source", "notes", "protocol_name", "scale_name"),
    *("evaluate.batch_size", "data.stream", "data.verify", "data.download", "data.workers"),
    *("data.ranges", "model.ranges", "optimizer.ranges", "data.sources", "model.sources", "optimizer.sources"),
)

# A key that was added after runs existed: the value that those runs had without knowing it. A key equal to its
# entry is left out of the identity, so that adding a key orphans no run. Entries are never changed or removed.
ABSENT: dict[str, Any] = {
    "probe": {},
    "target": {"metric": None, "value": 0.0},
    "world_size": 1,
    "model.fingerprint": None,
    "evaluate.test": "every",
    "data.train": 0,
    "model.layers": 20,
    "model.width_multiplier": 1.0,
    "optimizer.base": None,
    "data.augment.resized_crop": 0.0,
}

# A place, of whose content its group has a fingerprint.
PLACES = ("data.path", "model.weights")

_LEFT_OUT = [key.split(".") for key in NOT_SEMANTIC]  # as paths: a store of 10,000 runs walks them 10,000 times

# Keys that were renamed after runs existed: the name today -> the name that the identity knows.
RENAMED = {"data.synthetic": "data.stand_in"}


def semantic(config: Mapping[str, Any]) -> Config:
    """Return what can change the result: numbers in one form, runtime keys and absent defaults left out.

    config: as composed, plain nested dicts. Idempotent. Raises TypeError for a value that JSON has no word for.
    """
    plain = _renamed(_canonical(config), RENAMED)
    if _is_the_datas_own(plain.get("task"), find(plain, ["data", "task"])):
        drop(plain, ["task"])
    placed = [key.split(".") for key in PLACES if find(plain, [key.partition(".")[0], "fingerprint"]) is not _MISSING]
    for path in (*_LEFT_OUT, *placed):
        drop(plain, path)
    for key, default in ABSENT.items():
        if find(plain, key.split(".")) == default:
            drop(plain, key.split("."))
    return dict(plain)


def _is_the_datas_own(task: object, name: object) -> bool:
    """Tell whether a task is no more than `data.task`, `name`, says: `task` was added after such runs existed."""
    if not isinstance(task, dict) or not {"name", "version"} <= task.keys() <= {"name", "target", "version"}:
        return False
    return [task["name"], task["version"]] == [name, 1]


def todays(config: Mapping[str, Any]) -> Config:
    """Return a semantic configuration with the names that its keys have today."""
    return _renamed(_canonical(config), {old: new for new, old in RENAMED.items()})


def complete(config: Mapping[str, Any]) -> Config:
    """Return a composed configuration with the number of processes that make the run, which torchrun sets."""
    return {"world_size": int(os.environ.get("WORLD_SIZE", "1"))} | dict(config)


def run_id(config: Mapping[str, Any]) -> str:
    """Return the first 12 hex digits of the SHA-256 of a semantic configuration's canonical JSON."""
    return _digest(canonical_json(config))


def group_id(config: Mapping[str, Any]) -> str:
    """Return the id that the runs of one configuration share over all seeds."""
    return run_id({key: value for key, value in config.items() if key != "seed"})


def run_folder(store: Path | str, config: Mapping[str, Any]) -> Path:
    """Return `<store>/<data>/<model>/<optimizer>/s<seed>-<id>` of a composed (or semantic) configuration."""
    return Path(store, identified(config).place)


@dataclass(frozen=True)
class Identified:
    """config: semantic, in the one form that is hashed. place: of the run's folder in a store."""

    config: Config
    id: str
    group_id: str
    place: Path


def identified(config: Mapping[str, Any]) -> Identified:
    """Return all that follows from a composed (or semantic) configuration, which is brought into its form once."""
    kept = semantic(config)
    own, group = (_digest(_json(plain)) for plain in (kept, {k: v for k, v in kept.items() if k != "seed"}))
    names = [str(kept[group]["name"]).replace("/", "_") for group in ("data", "model", "optimizer")]
    return Identified(kept, own, group, Path(*names, f"s{kept['seed']}-{own}"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def canonical_json(value: Any) -> str:
    """Write plain data in the one form that is hashed: sorted keys, no blanks, 1 for 1.0 and 1e0."""
    return _json(_canonical(value))


def _json(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _renamed(plain: Config, names: dict[str, str]) -> Config:
    """Rename keys of nested dicts in place, within their group."""
    for name, other in names.items():
        value = find(plain, name.split("."))
        if value is not _MISSING:
            drop(plain, name.split("."))
            find(plain, other.split(".")[:-1])[other.split(".")[-1]] = value
    return plain


def _canonical(value: Any) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return _canonical_float(value)
    if isinstance(value, dict):
        return {str(key): _canonical(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(entry) for entry in value]
    raise TypeError(f"a configuration holds plain values only, not {type(value).__name__}: {value!r}")


def _canonical_float(value: float) -> float | int | str:
    if not math.isfinite(value):
        return repr(value)  # JSON has no word for it
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def find(node: Any, path: list[str]) -> Any:
    """Return the value at a path of keys in nested dicts; where there is none, an object that equals nothing."""
    for part in path:
        if not isinstance(node, dict) or part not in node:
            return _MISSING
        node = node[part]
    return node


def drop(node: Any, path: list[str]) -> None:
    """Remove the value at a path of keys in nested dicts, if there is one."""
    parent = find(node, path[:-1])
    if isinstance(parent, dict):
        parent.pop(path[-1], None)


_MISSING = object()
