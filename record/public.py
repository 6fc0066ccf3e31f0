"""A run as it may be published: without host names, absolute paths and values taken from the environment.

Its id, its numbers and its weights are the same. config.yaml is written anew from the result, which has all that can
change a result and none of the paths.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from record.clean import keep
from record.files import json_text, read_as
from record.identity import drop, find
from record.provenance import LABELS, config_text, labels_of
from record.schema import Environment, Result, StatusFile

_FROM_ROOT = re.compile(r"(?<![\w.:/])(?:~[\w.-]*|[A-Za-z]:)?[/\\](?=[^\s/\\])(?:.*[/\\])?", re.DOTALL)
_FROM_ENVIRONMENT = re.compile(r"\+*([\w.]+)=.*\$\{oc\.env:", re.DOTALL)


def objection(folder: Path, result: Result) -> str | None:
    """Return why a run cannot be published: its id depends on an absolute path, or on a text of the environment."""
    if any(_FROM_ROOT.search(text) for text in _texts(result["config"])):
        return "its identity holds an absolute path"
    for key in _taken(folder):
        if any(_texts(find(result["config"], key.split(".")))):
            return f"its identity holds {key}, a text from the environment"
    return None


def public_result(folder: Path, result: Result) -> Result:
    """Return what a run's result is in public. folder: whose environment.json names what to leave out."""
    labels = _cut(_labels(result))
    for key in _taken(folder):
        drop(labels, key.split("."))
    apart = {"config": result["config"], "labels": labels_of(labels), "machine": {**result["machine"], "host": None}}
    return cast(Result, _cut(result) | apart)


def public_file(path: Path, result: Result) -> bytes | None:
    """Return what a file of a run is in public, given its public result; None where nothing changes."""
    rewrite = _REWRITTEN.get(path.name)
    return rewrite(path, result) if rewrite else None


def _config(path: Path, result: Result) -> bytes:
    kept = keep(path.parent)
    return config_text({**result["config"], **_labels(result), **({"keep": kept} if kept else {})})


def _environment(path: Path, result: Result) -> bytes:
    content = read_as(Environment, path)
    attempts = [{key: _cut(v) for key, v in attempt.items() if key != "host"} for attempt in content["attempts"]]
    return json_text({**content, "attempts": attempts})


def _status(path: Path, result: Result) -> bytes:
    content = read_as(StatusFile, path)
    return json_text({key: _cut(value) for key, value in content.items() if key not in ("host", "pid")})


_REWRITTEN = {"config.yaml": _config, "environment.json": _environment, "status.json": _status}


def _labels(result: Result) -> dict[str, Any]:
    """Return a result's labels by their keys in a configuration."""
    return {LABELS[name]: value for name, value in result["labels"].items() if name in LABELS}


def _taken(folder: Path) -> set[str]:
    """Return the keys to which some attempt's command line gave a value of the environment."""
    attempts = read_as(Environment, folder / "environment.json")["attempts"]
    words = (_FROM_ENVIRONMENT.match(word) for attempt in attempts for word in attempt["overrides"])
    return {word[1] for word in words if word}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for entry in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(entry)


def _cut(value: Any) -> Any:
    """Cut every path in a value's texts down to its last part."""
    if isinstance(value, dict):
        return {key: _cut(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_cut(entry) for entry in value]
    return _FROM_ROOT.sub("", value) if isinstance(value, str) else value
