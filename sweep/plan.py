"""From command lines to runs with ids, fast: composed once for each combination of what is not a number."""

import copy
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from conf import groups
from conf.check import check_tree
from conf.compose import compose
from conf.errors import Mistake
from record import group_id, run_folder, run_id, semantic
from sweep.wanted import Wanted

Words = tuple[str, ...]
Config = dict[str, Any]
ROOT = Path(__file__).parent.parent
CACHE = ROOT / "build" / "plans"
POOL_FROM = 12  # combinations from which on starting a second process pays (composing takes 0.08 s, starting 0.6 s)
_NUMBER = re.compile(r"(seed|optimizer\.[a-z_]+)=([+-]?(?:\d+|(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?))")

_TUNED_FILE = re.compile(r"tuned=.*[./]")  # a file of the user's own, whose changes the cache would not see


@dataclass(frozen=True, eq=False)
class Planned:
    """One run before it is run.

    words: its command line. folder: relative to a store. reference: it is the yardstick of wall-clock budgets.
    budget, names and notes are what cost and display need of its configuration.
    """

    words: Words
    id: str
    group_id: str
    folder: Path
    seed: int
    names: tuple[str, str, str]
    budget: Config
    notes: Config
    reference: bool = False

    @property
    def label(self) -> str:
        return f"{' '.join(self.names)} s{self.seed}"


def plan(wanted: Wanted) -> list[Planned]:
    """Return the runs of a table, references of wall-clock budgets first; each configuration once.

    Raises Mistake for what compose refuses, and for one configuration under two command lines of a sweep file.
    """
    composed = _composed({_split(words)[0] for words in wanted.words})
    runs: dict[str, Planned] = {}
    for words in wanted.words:
        run = _planned(words, composed)
        if wanted.distinct and run.id in runs:
            raise Mistake(f"{wanted.name}: the same run twice: {' '.join(runs[run.id].words)} and {' '.join(words)}")
        runs.setdefault(run.id, run)
    yardsticks = _references(runs.values())
    return [*yardsticks.values(), *(run for run in runs.values() if run.id not in yardsticks)]


def _planned(words: Words, composed: dict[Words, Config], reference: bool = False) -> Planned:
    rest, numbers = _split(words)
    config = _with_numbers(composed[rest], numbers)
    kept = semantic(config)
    names = tuple(str(config[group]["name"]) for group in ("data", "model", "optimizer"))
    return Planned(
        words=words,
        id=run_id(kept),
        group_id=group_id(kept),
        folder=run_folder("", kept),
        seed=config["seed"],
        names=names,  # type: ignore[arg-type]
        budget=config["budget"],
        notes=config.get("notes") or {},
        reference=reference,
    )


def _references(runs: Iterable[Planned]) -> dict[str, Planned]:
    """Plan the runs whose training time is the budget of others: the reference optimizer for the same epochs."""
    lines = dict.fromkeys(reference_words(run) for run in runs if run.budget["name"] == "wallclock_of")
    composed = _composed({_split(words)[0] for words in lines})
    planned = [_planned(words, composed, reference=True) for words in lines]
    return {run.id: run for run in planned}


def reference_words(run: Planned) -> Words:
    """Return the command line of the run that fixes a wall-clock budget: same data, net and seed, budget in epochs."""
    dropped = re.compile(r"(optimizer|budget)[.=]")
    kept = [word for word in run.words if not dropped.match(word)]
    return (*kept, f"optimizer={run.budget['reference']}", "budget=epochs", f"budget.epochs={run.budget['epochs']}")


def _split(words: Words) -> tuple[Words, dict[str, float | int]]:
    """Part a command line into what must be composed and the numbers that may be set on a copy."""
    numbers: dict[str, float | int] = {}
    rest = []
    option = next((word.partition("=")[2] for word in words if word.startswith("optimizer=")), "sgd")
    for word in words:
        match = _NUMBER.fullmatch(word)
        if match is None or ("." in match[1] and not _has_keywords(option)):
            rest.append(word)
        else:
            numbers[match[1]] = int(match[2]) if re.fullmatch(r"[+-]?\d+", match[2]) else float(match[2])
    return tuple(rest), numbers


def _has_keywords(option: str) -> bool:
    """Tell whether an optimizer's yaml lists its keywords; that of a custom or plugged-in one does not."""
    listed = option in groups.options("optimizer") and option not in groups.plugins()
    return listed and "args" not in groups.raw("optimizer", option)


def _with_numbers(config: Config, numbers: dict[str, float | int]) -> Config:
    config = {**config, "optimizer": copy.copy(config["optimizer"])}
    for key, value in numbers.items():
        group, _, name = key.partition(".")
        if not name:
            if value < 0 or not isinstance(value, int):
                raise Mistake(f"{key}: {value!r} is out of range; allowed: [0, inf)")
            config[group] = value
            continue
        raw = groups.raw(group, config[group]["name"])
        known = {k: v for k, v in raw.items() if k not in groups.RESERVED}
        check_tree(group, {name: value}, known, raw.get("ranges", {}))
        config[group][name] = value
    return config


def _composed(combinations: set[Words]) -> dict[Words, Config]:
    """Compose each combination, from the cache where conf/ and papers/tuned have not changed since."""
    cache = CACHE / f"{_fingerprint()}.jsonl"
    known = _read_cache(cache)
    missing = sorted(combinations - known.keys())
    fresh = dict(zip(missing, _compose_all(missing), strict=True))
    lasting = {words: config for words, config in fresh.items() if not any(map(_TUNED_FILE.match, words))}
    if lasting:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with open(cache, "a") as file:
            file.writelines(json.dumps([words, config]) + "\n" for words, config in lasting.items())
    return {words: known.get(words) or fresh[words] for words in combinations}


def _compose_all(combinations: Sequence[Words]) -> list[Config]:
    workers = min(os.cpu_count() or 1, 8)
    if len(combinations) < POOL_FROM or workers == 1:
        return [_compose(words) for words in combinations]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_compose, combinations, chunksize=4))


def _compose(words: Words) -> Config:
    return compose(list(words))


def _read_cache(path: Path) -> dict[Words, Config]:
    known = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            words, config = json.loads(line)
        except ValueError:
            continue  # torn: composed again
        known[tuple(words)] = config
    return known


def _fingerprint() -> str:
    """Hash all that a composition reads: conf/ whole, papers/tuned, and the variables that paths come from."""
    total = hashlib.sha256(json.dumps(sorted(groups.plugins().items())).encode())
    for folder in (ROOT / "conf", ROOT / "papers" / "tuned"):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".yaml", ".py"):
                total.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return total.hexdigest()[:16]
