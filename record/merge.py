"""Stores merge: commutative, associative, idempotent. Only finished runs travel, and only what a run consists of."""

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from record import checkpoint, public
from record.claim import is_live
from record.clean import PASSING, keep
from record.files import copy_atomic, digest, json_text, one_line, require_regular, write_atomic
from record.identity import canonical_json
from record.read import behind_a_link, checked, complete, run_folders
from record.schema import Result

_FILE = re.compile(r"(config\.yaml|(environment|status)\.json|metrics\.jsonl|log\.txt|code-\d+\.diff|weights\.pt)")
_RESULT = re.compile(r"result(\.[0-9a-f]{12})?\.json")


@dataclass(frozen=True)
class Form:
    """How runs are copied.

    result: what the result of a folder becomes. file: what a file becomes, None as it is; its second argument is the
    new result. objection: why a run is left out, None if it is not. without: a pattern of the names of files that are.
    """

    result: Callable[[Path, Result], Result] = lambda folder, result: result
    file: Callable[[Path, Result], bytes | None] = lambda path, result: None
    objection: Callable[[Path, Result], str | None] = lambda folder, result: None
    without: str = "(?!)"


AS_IT_IS = Form()
PUBLIC = Form(public.public_result, public.public_file, public.objection, without=r"log\.txt|code-\d+\.diff")


@dataclass(frozen=True)
class Conflict:
    """Two results of one id of other weights or metrics. kind: `alarm` on equal platforms, else `other platform`."""

    folder: str
    kind: str
    detail: str


def merge(
    sources: Sequence[Path | str], destination: Path | str, form: Form = AS_IT_IS
) -> tuple[list[Conflict], list[str]]:
    """Copy the finished runs of `sources` into `destination`.

    Of several results of one id the one with the smallest hash becomes result.json, with its files; the others are
    kept beside it as `result.<hash>.json`. No link is followed. The outcome depends neither on the order nor on the
    grouping nor on the number of merges; a merge that is killed is completed by the next.

    sources, destination: stores; the destination is made if it is missing. form: AS_IT_IS or PUBLIC. Returns the
    conflicts in the merged store, and one line for each run left out and each file that is no part of a run. Raises
    FileNotFoundError for a source that is missing, and OSError.
    """
    for source in sources:
        if not Path(source).is_dir():
            raise FileNotFoundError(f"merge: no store at {source}")
    Path(destination).mkdir(parents=True, exist_ok=True)
    left_out = []
    touched: set[Path] = set()
    for source in map(Path, sources):
        for folder in run_folders(source):
            target = Path(destination) / folder.relative_to(source)
            reason = _left_out(source, folder, target, form)
            if reason is not None:
                left_out.append(one_line(reason))
            elif folder.resolve() != target.resolve():
                left_out += map(one_line, _merge_run(folder, target, form))
                touched.add(target)
    return [conflict for target in sorted(touched) for conflict in conflicts(target)], left_out


def _left_out(source: Path, folder: Path, target: Path, form: Form) -> str | None:
    """Return why a run is left out, None if it is not."""
    if behind_a_link(source, folder):
        return f"{folder}: lies behind a symbolic link"
    try:
        result = complete(folder)
        objection = form.objection(folder, result) if result else "unfinished"
        if objection:
            return f"{folder}: {objection}"
    except (OSError, ValueError) as error:
        return str(error)
    return f"{folder}: running in {target}" if is_live(target) else None


def conflicts(folder: Path) -> list[Conflict]:
    """Return one conflict for each result beside result.json that has other bits."""
    first = checked(folder / "result.json")
    others = sorted(_results(folder, AS_IT_IS).values(), key=_hash)
    return [
        Conflict(str(folder), _kind(first, other), " and ".join(_bits(result) for result in (first, other)))
        for other in others
        if _bits(other) != _bits(first)
    ]


def _merge_run(source: Path, target: Path, form: Form) -> list[str]:
    """Copy one run; returns a line about what of its folder is no part of it."""
    names, strays = _parts(source, form)
    theirs, ours = _results(source, form), _results(target, AS_IT_IS)
    everything = {_hash(result): result for result in (*theirs.values(), *ours.values())}
    smallest = min(everything)
    best = everything.pop(smallest)
    target.mkdir(parents=True, exist_ok=True)
    for key, result in everything.items():
        write_atomic(target / f"result.{key}.json", json_text(result))
    replace = _hash(ours.get("result.json")) != smallest
    if _hash(theirs.get("result.json")) == smallest:
        _adopt(source, target, names, lambda path: form.file(path, best), replace=replace)
    if replace:
        write_atomic(target / "result.json", json_text(best))
    (target / f"result.{smallest}.json").unlink(missing_ok=True)
    return [f"{source}: not copied: {', '.join(strays)}"] if strays else []


def _parts(source: Path, form: Form) -> tuple[list[str], list[str]]:
    """Return the names of the files that belong to a run, results apart, and of what else is in its folder."""
    names, strays = [], []
    for path in sorted(source.iterdir()):
        belongs = _FILE.fullmatch(path.name) or (checkpoint.NAME.fullmatch(path.name) and keep(source) == "all")
        try:
            require_regular(path)
        except ValueError as error:
            strays.append(f"{path.name} ({str(error).removeprefix(f'{path}: ')})")
            continue
        if belongs and not re.fullmatch(form.without, path.name):
            names.append(path.name)
        elif not _RESULT.fullmatch(path.name) and not any(path.match(pattern) for pattern in PASSING):
            strays.append(path.name)
    return names, strays


def _adopt(
    source: Path, target: Path, names: Sequence[str], rewritten: Callable[[Path], bytes | None], *, replace: bool
) -> None:
    """Copy the files that belong to a result. Of two versions of a file of one result the smaller digest stays."""
    if replace:
        for path in target.iterdir():
            if path.is_file() and not path.name.startswith("result.") and path.name not in names:
                path.unlink()
    for name in names:
        content, present = rewritten(source / name), target / name
        fresh = digest(source / name) if content is None else hashlib.sha256(content).hexdigest()
        if replace or not present.exists() or fresh < digest(present):
            if content is None:
                copy_atomic(source / name, present)
            else:
                write_atomic(present, content)


def _results(folder: Path, form: Form) -> dict[str, Result]:
    """Return the sound results of a run folder by the names of their files."""
    found = {}
    for path in sorted(folder.glob("result*.json")) if folder.is_dir() else []:
        if _RESULT.fullmatch(path.name):
            with suppress(OSError, ValueError):  # torn, or of another run
                found[path.name] = form.result(folder, checked(path))
    return found


def _hash(content: object) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:12]


def _kind(one: Result, other: Result) -> str:
    same = one["platform"] == other["platform"] and one["one_platform"] and other["one_platform"]
    return "alarm" if same else "other platform"


def _bits(result: Result) -> str:
    """Return what must repeat: the hash of the final weights, if there are any, and that of the metrics."""
    return f"weights {str(result.get('weights_sha256'))[:12]}, metrics {_hash(result['metrics'])}"
