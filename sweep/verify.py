"""Is a store sound? Each run is compared with itself: id, place, labels, metrics, configuration, environment, bits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conf import yamls
from record import read_lines, semantic, status
from record.checkpoint import found, is_whole, weights_hash
from record.files import digest, read_json
from record.read import complete, read_status, run_folders
from record.regular import contents, one_line, open_regular
from record.run import labels_of, provenance
from record.schema import ENVIRONMENT, require_small
from record.tidy import leftovers, settle

Row = dict[str, Any]
MOST_CONFIG = 2**20  # bytes of a config.yaml
NO_METRIC = {"kind", "epoch", "step", "seconds"}  # what an epoch's row holds beside metrics


def verify(store: Path) -> tuple[int, list[str]]:
    """Check every run of a store; returns how many are sound and one line for each thing that is not.

    Weights are hashed again (that takes torch, and about a second a gigabyte). An unfinished run that no process has
    is named as such: the same command goes on with it. What a process left undone that died after its result was
    written is done first.
    """
    sound, lines = 0, []
    for folder in run_folders(store):
        wrong = [one_line(line if line.startswith(str(folder)) else f"{folder}: {line}") for line in _wrong(folder)]
        sound += not wrong
        lines += wrong
    return sound, lines


def _wrong(folder: Path) -> Iterator[str]:
    try:
        result = complete(folder)
        if result is None:
            yield from _unfinished(folder)
        else:
            settle(folder)
            yield from _finished(folder, result)
    except (OSError, ValueError) as error:
        yield str(error)


def _finished(folder: Path, result: Row) -> Iterator[str]:
    checks = {"config.yaml": _config, "environment.json": _environment, "status.json": _status}
    for name, wrong in checks.items():
        try:
            yield from wrong(folder, result)
        except FileNotFoundError:
            yield f"{name} is missing"
        except (OSError, TypeError, ValueError) as error:
            yield str(error)
    if digest(folder / "metrics.jsonl") != result["metrics_sha256"]:
        yield "metrics.jsonl is not the one that the result speaks of"
    else:
        yield from _metrics(folder, result)
    if (folder / "weights.pt").exists() and result.get("weights_sha256"):
        yield from _weights(folder / "weights.pt", result["weights_sha256"])
    yield from (f"{path.name} is damaged" for path in found(folder) if not is_whole(path))
    yield from (f"{name} is left over" for name in leftovers(folder))


def _config(folder: Path, result: Row) -> Iterator[str]:
    path = folder / "config.yaml"
    contents(path, MOST_CONFIG)  # a regular file of a size to be parsed
    config = yamls.load(path)
    require_small(config)
    if not isinstance(config, dict) or semantic(config) != semantic(result["config"]):
        yield "config.yaml is of another configuration than the result"
    elif any(result["labels"].get(name) != value for name, value in labels_of(config).items()):
        yield "the result's labels are not those of config.yaml"


def _environment(folder: Path, result: Row) -> Iterator[str]:
    attempts = read_json(folder / "environment.json", ENVIRONMENT)["attempts"]
    told = provenance(attempts) if attempts else {}
    wrong = [key for key, value in told.items() if result.get(key) != value]
    if wrong or not told:
        yield f"the result's {', '.join(wrong) or 'attempts'} are not those of environment.json"


def _status(folder: Path, result: Row) -> Iterator[str]:
    said = read_status(folder)
    if said is None:
        yield "status.json is missing"
    elif said["state"] != result["state"]:
        yield f"status.json says {said['state']}, the result {result['state']}"


def _metrics(folder: Path, result: Row) -> Iterator[str]:
    """Compare a result's metrics with the row of the epoch that it was judged by."""
    rows, left_out = read_lines(folder / "metrics.jsonl")
    if left_out:
        yield f"metrics.jsonl has {left_out} line(s) that are no rows"
    chosen = result.get("selected") or {}
    epochs = [row for row in rows if row.get("kind") == "epoch"]
    judged = [row for row in epochs if row.get("epoch") == chosen.get("epoch", row.get("epoch"))]
    row = judged[-1] if judged else {}
    told = {key: value for key, value in row.items() if key not in NO_METRIC}
    scored_later = not any(key.startswith("test_") for key in told)  # the chosen epoch's test score, taken at the end
    added = {key for key in result["metrics"].keys() - told.keys() if not scored_later or not _is_score(key)}
    if added or any(result["metrics"].get(key) != value for key, value in told.items()):
        yield "the result's metrics are not those of its row in metrics.jsonl"
    if judged and any(row.get(key) != value for key, value in chosen.items()):
        yield "the result's selected epoch is not the one in metrics.jsonl"


def _is_score(key: str) -> bool:
    return key.startswith(("test_", "validation_"))


def _unfinished(folder: Path) -> Iterator[str]:
    now = status(folder)
    if now.state == "running":
        return
    yield f"unfinished, {now.state} {now.message}".strip()
    torn = read_lines(folder / "metrics.jsonl")[1]
    if torn:
        yield f"metrics.jsonl has {torn} torn line(s); a resume cuts them off"


def _weights(path: Path, expected: str) -> Iterator[str]:
    import torch

    try:
        with open_regular(path) as file:
            weights = torch.load(file, map_location="cpu", weights_only=True)
        same = weights_hash(weights) == expected
    except Exception as error:  # whatever unpickling a damaged or alien file raises
        yield f"weights.pt cannot be read ({type(error).__name__})"
        return
    if not same:
        yield "weights.pt is not what the result speaks of"
