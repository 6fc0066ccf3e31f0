"""From command lines to runs with ids, fast: composed once for each combination of what is not a number."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import isclose
from pathlib import Path
from typing import Any

from conf import grammar, groups, reference, validate
from conf.check import check_tree
from conf.composed import composed
from conf.errors import UsageError
from conf.tuned import read
from record import group_id, run_folder, run_id, semantic
from sweep.wanted import Wanted, Words

Config = dict[str, Any]
ROOT = Path(__file__).parent.parent
_NUMBER = re.compile(r"(?:seed|optimizer\.[a-z_]+)=[-+.0-9]\S*", re.ASCII)


@dataclass(frozen=True, eq=False)
class Planned:
    """One run before it is run.

    words: its command line. folder: relative to a store. reference_id: of the run that measures its wall-clock
    budget, if it has one.
    """

    words: Words
    id: str
    group_id: str
    folder: Path
    config: Config
    reference_id: str | None

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def names(self) -> tuple[str, ...]:
        """Data, model and optimizer."""
        return tuple(str(self.config[group]["name"]) for group in ("data", "model", "optimizer"))

    @property
    def label(self) -> str:
        return f"{' '.join(self.names)} s{self.seed}"


def plan(asked: Wanted) -> list[Planned]:
    """Return the runs of a table, in its order; each configuration once.

    Raises UsageError for what compose refuses, and for one configuration under two command lines of a sweep file.
    """
    configs = _composed({_split(words)[0] for words in asked.words})
    runs: dict[str, Planned] = {}
    for words in asked.words:
        run = _planned(words, configs)
        if asked.distinct and run.id in runs:
            raise UsageError(f"{asked.name}: the same run twice: {' '.join(runs[run.id].words)} and {' '.join(words)}")
        runs.setdefault(run.id, run)
    return list(runs.values())


def _planned(words: Words, configs: dict[Words, Config]) -> Planned:
    rest, numbers = _split(words)
    config = _with_numbers(configs[rest], numbers)
    kept = semantic(config)
    return Planned(words, run_id(kept), group_id(kept), run_folder("", kept), config, _reference_id(rest, config))


def _reference_id(words: Words, config: Config) -> str | None:
    if "reference" not in config["budget"]:
        return None
    line = tuple(reference.words(words, config["budget"]["reference"]))
    return run_id(semantic(reference.configuration(_composed_once(line), config)))


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
    free = _free(words)
    found = {word: number for word in words if (number := _number(word)) and number[0] in free}
    return tuple(word for word in words if word not in found), dict(found.values())


@lru_cache(maxsize=4096)
def _number(word: str) -> tuple[str, float | int] | None:
    """Return the key and the number of an override, as Hydra reads it; None for what it takes for anything else."""
    if _NUMBER.fullmatch(word) is None:
        return None
    try:
        value = grammar.parse([word])[0].value()
    except UsageError:
        return None
    key = word.partition("=")[0]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return (key, value) if key != "seed" or (isinstance(value, int) and value >= 0) else None


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
        name = str(grammar.parse([grammar.tuned(f"tuned={tuned}")])[0].value()) if tuned else ""
        return {key for entry in (read(name) if name else ()) for key in entry.get("where", {})}
    except UsageError:  # compose says what is wrong
        return set()


def _with_numbers(config: Config, numbers: dict[str, float | int]) -> Config:
    """Return a copy with these numbers, checked as composing checks them."""
    optimizer = dict(config["optimizer"])
    values = {key.removeprefix("optimizer."): value for key, value in numbers.items() if key != "seed"}
    if values:
        raw = groups.raw("optimizer", optimizer["name"])
        known = {key: value for key, value in raw.items() if key not in groups.RESERVED}
        check_tree("optimizer", values, known, raw.get("ranges", {}))
    config = config | {"optimizer": optimizer | values, "seed": numbers.get("seed", config["seed"])}
    validate.combination(config)
    return config


def _composed(combinations: set[Words]) -> dict[Words, Config]:
    known, reasons = composed(combinations)
    if reasons:
        raise UsageError(reasons[min(reasons)])
    return known


# By `base` of SING: the optimizer that it is compared with, and the values that this one has to have.
BASES: dict[str, tuple[str, Callable[[Config], Config]]] = {
    "sgd": ("sgd", lambda sing: {"momentum": sing["betas"][0], "dampening": 0.0, "nesterov": False}),
    "adam": ("adamw", lambda sing: {"betas": sing["betas"], "eps": sing["eps"]}),
    "adabelief": ("adabelief", lambda sing: {"betas": sing["betas"], "eps": sing["eps"] ** 2, "rectify": True}),
    "adafactor": ("adafactor", lambda sing: {"beta2_decay": -0.8, "d": 1.0}),
}


def unlike(runs: Iterable[Planned]) -> list[str]:
    """Return a line for each SING that is compared with another base than its own, on the same data and net."""
    others: dict[tuple[str, ...], list[Config]] = defaultdict(list)
    for run in runs:
        others[run.names].append(run.config["optimizer"])
    lines = [
        _line(names, base, needed(sing), others[(*names[:2], base)])
        for names, options in others.items()
        for sing in options
        if sing["target"] == "optim.SING" and sing.get("base") in BASES  # a custom one has its words in args
        for base, needed in [BASES[sing["base"]]]
        if (*names[:2], base) in others
    ]
    return sorted({line for line in lines if line})


def _line(names: tuple[str, ...], base: str, needed: Config, found: list[Config]) -> str:
    wrong = [{k: options.get(k) for k, v in needed.items() if not _equal(v, options.get(k))} for options in found]
    fewest = min(wrong, key=len)
    differences = ", ".join(f"{key} {needed[key]} and {value}" for key, value in fewest.items())
    return f"not one base: {names[2]} and {base} on {' '.join(names[:2])}: {differences}" if fewest else ""


def _equal(a: Any, b: Any) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and isclose(a, b))
