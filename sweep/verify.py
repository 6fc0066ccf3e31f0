"""Is a store sound? The files of a run must agree: id, place, labels, metrics, configuration, environment, bits."""

from collections.abc import Iterator
from pathlib import Path

from conf import yamls
from record.checkpoint import found, is_whole, load_plain, weights_hash
from record.clean import clean_finished, leftovers
from record.files import contents, digest, one_line, open_regular, read_as
from record.identity import semantic
from record.lines import read_lines
from record.provenance import LATER, labels_of, provenance
from record.read import complete, metrics_fault, read_status, run_folders, status
from record.schema import Environment, Result, require_small

MOST_CONFIG = 2**20  # bytes of a config.yaml


def verify(store: Path) -> tuple[int, list[str]]:
    """Check every run of a store; returns how many are sound and one line for each fault.

    Weights are hashed again (that takes torch, and about a second a gigabyte). An unfinished run that no process has
    gets a line: the same command goes on with it. What a process left undone that died after its result was written
    is done first. Raises nothing for a damaged run.
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
            clean_finished(folder)
            yield from _finished(folder, result)
    except (OSError, ValueError) as error:
        yield str(error)


def _finished(folder: Path, result: Result) -> Iterator[str]:
    checks = {"config.yaml": _config, "environment.json": _environment, "status.json": _status}
    for name, wrong in checks.items():
        try:
            yield from wrong(folder, result)
        except FileNotFoundError:
            yield f"{name} is missing"
        except (OSError, TypeError, ValueError) as error:
            yield str(error)
    if digest(folder / "metrics.jsonl") != result["metrics_sha256"]:
        yield "metrics.jsonl is not the one of the result"
    else:
        yield from _metrics(folder, result)
    expected = result.get("weights_sha256")
    if (folder / "weights.pt").exists() and expected:
        yield from _weights(folder / "weights.pt", expected)
    yield from (f"{path.name} is damaged" for path in found(folder) if not is_whole(path))
    yield from (f"{name} is left over" for name in leftovers(folder))


def _config(folder: Path, result: Result) -> Iterator[str]:
    path = folder / "config.yaml"
    contents(path, MOST_CONFIG)  # a regular file of a size to be parsed
    config = yamls.load(path)
    require_small(config)
    if not isinstance(config, dict) or semantic(config) != semantic(result["config"]):
        yield "config.yaml is of another configuration than the result"
    elif any(result["labels"].get(name) != value for name, value in labels_of(config).items()):
        yield "the result's labels are not those of config.yaml"


def _environment(folder: Path, result: Result) -> Iterator[str]:
    attempts = read_as(Environment, folder / "environment.json")["attempts"]
    expected = provenance(attempts).items() if attempts else ()
    wrong = [key for key, value in expected if result.get(key, value if key in LATER else None) != value]
    if wrong or not expected:
        yield f"the result's {', '.join(wrong) or 'attempts'} are not those of environment.json"


def _status(folder: Path, result: Result) -> Iterator[str]:
    last = read_status(folder)
    if last is None:
        yield "status.json is missing"
    elif last["state"] != result["state"]:
        yield f"status.json says {last['state']}, the result {result['state']}"


def _metrics(folder: Path, result: Result) -> Iterator[str]:
    rows, left_out = read_lines(folder / "metrics.jsonl")
    if left_out:
        yield f"metrics.jsonl has {left_out} line(s) that are no rows"
    if fault := metrics_fault(result, reversed(rows), whole=True):
        yield fault


def _unfinished(folder: Path) -> Iterator[str]:
    now = status(folder)
    if now.state == "running":
        return
    yield f"unfinished, {now.state} {now.message}".strip()
    torn = read_lines(folder / "metrics.jsonl")[1]
    if torn:
        yield f"metrics.jsonl has {torn} torn line(s); a resume cuts them off"


def _weights(path: Path, expected: str) -> Iterator[str]:
    try:
        with open_regular(path) as file:
            same = weights_hash(load_plain(file)) == expected
    except Exception as error:  # whatever unpickling a damaged file raises
        yield f"weights.pt cannot be read ({type(error).__name__})"
        return
    if not same:
        yield "weights.pt is not the one of the result"
