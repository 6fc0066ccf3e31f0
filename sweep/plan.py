"""From command lines to runs with ids, fast: composed once for each combination of what is not a number."""

import copy
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from conf import grammar, groups, reference, rules
from conf.check import check_tree
from conf.errors import UsageError
from conf.grammar import parse
from conf.tuned import read
from papers.composed import composed
from record import group_id, run_folder, run_id, semantic
from sweep.wanted import Wanted

Words = tuple[str, ...]
Config = dict[str, Any]
ROOT = Path(__file__).parent.parent
_NUMBER = re.compile(r"(?:seed|optimizer\.[a-z_]+)=[-+.0-9]\S*", re.ASCII)


@dataclass(frozen=True, eq=False)
class Planned:
    """One run before it is run.

    words: its command line. folder: relative to a store. yardstick: id of the run that measures its wall-clock budget,
    if it has one. budget, names, notes and optimizer are what cost and display need of its configuration.
    """

    words: Words
    id: str
    group_id: str
    folder: Path
    seed: int
    names: tuple[str, str, str]
    budget: Config
    notes: Config
    optimizer: Config
    yardstick: str | None

    @property
    def label(self) -> str:
        return f"{' '.join(self.names)} s{self.seed}"


def plan(wanted: Wanted) -> list[Planned]:
    """Return the runs of a table, in its order; each configuration once.

    Raises UsageError for what compose refuses, and for one configuration under two command lines of a sweep file.
    """
    configs = _composed({_split(words)[0] for words in wanted.words})
    runs: dict[str, Planned] = {}
    for words in wanted.words:
        run = _planned(words, configs)
        if wanted.distinct and run.id in runs:
            raise UsageError(f"{wanted.name}: the same run twice: {' '.join(runs[run.id].words)} and {' '.join(words)}")
        runs.setdefault(run.id, run)
    return list(runs.values())


def _planned(words: Words, configs: dict[Words, Config]) -> Planned:
    rest, numbers = _split(words)
    config = _with_numbers(configs[rest], numbers)
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
        optimizer=config["optimizer"],
        yardstick=_yardstick(rest, config),
    )


def _yardstick(words: Words, config: Config) -> str | None:
    if "reference" not in config["budget"]:
        return None
    line = tuple(reference.words(words, config["budget"]["reference"]))
    return run_id(semantic(reference.yardstick(_composed_once(line), config)))


@lru_cache
def _composed_once(words: Words) -> Config:
    return _composed({words})[words]


def option(words: Words, group: str, default: str) -> str:
    """Return what a command line chooses for a group."""
    return next((word.partition("=")[2] for word in words if word.startswith(f"{group}=")), default)


def _split(words: Words) -> tuple[Words, dict[str, float | int]]:
    """Part a command line into what must be composed and the numbers that may be set on a copy.

    A number that something else may look at (`where` of tuned values, an interpolation) is composed.
    """
    numbers: dict[str, float | int] = {}
    rest = []
    free = _free(words)
    for word in words:
        key, value = _number(word) or ("", 0)
        if key in free and (key != "seed" or (isinstance(value, int) and value >= 0)):
            numbers[key] = value
        else:
            rest.append(word)
    return tuple(rest), numbers


@lru_cache(maxsize=4096)
def _number(word: str) -> tuple[str, float | int] | None:
    """Return the key and the number of an override, as Hydra reads it; None for what it takes for anything else."""
    if _NUMBER.fullmatch(word) is None:
        return None
    try:
        value = parse([word])[0].value()
    except UsageError:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (word.partition("=")[0], value) if is_number else None


def _free(words: Words) -> set[str]:
    """Return the keys that nothing else of a configuration hangs on: the seed, and keywords with a number's default."""
    if any("${" in word for word in words):
        return set()
    keys = [word.lstrip("+").partition("=")[0] for word in words]
    named = option(words, "optimizer", "adamw")
    has_yaml = named in groups.options("optimizer") and named not in groups.plugins()
    raw = groups.raw("optimizer", named) if has_yaml else {}
    numbers = {key for key, value in raw.items() if type(value) in (int, float) and not groups.is_open(raw)}
    free = {"seed", *(f"optimizer.{name}" for name in numbers - {"version"})} - _looked_at(option(words, "tuned", ""))
    return {key for key in free if keys.count(key) == 1}


@lru_cache
def _looked_at(tuned: str) -> set[str]:
    """Return the keys that `where` of a tuned file looks at."""
    try:
        name = str(parse([grammar.tuned(f"tuned={tuned}")])[0].value()) if tuned else ""
        return {key for entry in (read(name) if name else ()) for key in entry.get("where", {})}
    except UsageError:  # compose says what is wrong
        return set()


def _with_numbers(config: Config, numbers: dict[str, float | int]) -> Config:
    config = {**config, "optimizer": copy.copy(config["optimizer"])}
    for key, value in numbers.items():
        group, _, name = key.partition(".")
        if not name:
            config[group] = value
            continue
        raw = groups.raw(group, config[group]["name"])
        known = {k: v for k, v in raw.items() if k not in groups.RESERVED}
        check_tree(group, {name: value}, known, raw.get("ranges", {}))
        config[group][name] = value
    rules.check(config)
    return config


def _composed(combinations: set[Words]) -> dict[Words, Config]:
    known, reasons = composed(combinations)
    if reasons:
        raise UsageError(reasons[min(reasons)])
    return known
