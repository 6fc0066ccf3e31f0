"""Configurations of many command lines, composed once and kept while conf/ and papers/tuned stay as they are."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from conf import groups
from conf.compose import compose
from conf.errors import Mistake

Words = tuple[str, ...]
ROOT = Path(__file__).parent.parent
CACHE = ROOT / "build" / "composed"
POOL_FROM = 12  # command lines from which on a second process pays: composing takes 0.08 s, starting one 0.6 s


def composed(lines: Iterable[Words]) -> tuple[dict[Words, dict[str, Any]], dict[Words, str]]:
    """Compose every command line; returns the configurations, and for those that cannot be composed the reason."""
    wanted = sorted(set(lines))
    cache = CACHE / f"{_fingerprint()}.jsonl"
    known = {words: config for words, config in _read(cache) if words in set(wanted)}
    missing = [words for words in wanted if words not in known]
    fresh = list(zip(missing, _compose_all(missing), strict=True))
    reasons = {words: result for words, result in fresh if isinstance(result, str)}
    made = [(words, result) for words, result in fresh if not isinstance(result, str)]
    lasting = [entry for entry in made if not any(w.startswith("tuned=") and ("/" in w or "." in w) for w in entry[0])]
    if lasting:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with open(cache, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(entry) + "\n" for entry in lasting)
    return known | dict(made), reasons


def _compose_all(lines: Sequence[Words]) -> list[dict[str, Any] | str]:
    workers = min(os.cpu_count() or 1, 8)
    if len(lines) < POOL_FROM or workers == 1:
        return [_compose(words) for words in lines]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_compose, lines, chunksize=4))


def _compose(words: Words) -> dict[str, Any] | str:
    try:
        return compose(list(words))
    except Mistake as error:
        return str(error)


def _read(cache: Path) -> Iterable[tuple[Words, dict[str, Any]]]:
    for line in cache.read_text(encoding="utf-8").splitlines() if cache.exists() else []:
        try:
            words, config = json.loads(line)
        except ValueError:
            continue  # torn by a kill: composed again
        yield tuple(words), config


def _fingerprint() -> str:
    """Hash all that a composition reads: conf/, papers/tuned, plug-ins, and the variables that paths come from."""
    variables = sorted((key, value) for key, value in os.environ.items() if key.startswith("STEPBENCH_"))
    total = hashlib.sha256(json.dumps([sorted(groups.plugins().items()), variables]).encode())
    for folder in (ROOT / "conf", ROOT / "papers" / "tuned"):
        for path in sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".py")):
            total.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return total.hexdigest()[:16]
