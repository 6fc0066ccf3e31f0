"""From command lines to runs with ids, each command line composed once for all its seeds."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

from conf import reference
from conf.compose import compose
from conf.errors import UsageError
from record.identity import group_id, run_folder, run_id, semantic
from sweep.wanted import Wanted, Words

Config = dict[str, Any]
ROOT = Path(__file__).parent.parent
SEED = re.compile(r"seed=(?:0|[1-9][0-9]{0,17})")  # as Hydra reads it, and not too large


@dataclass(frozen=True, eq=False)
class Planned:
    """One run before it is run.

    words: as asked for. line: those for train.py, all but `processes=N`: torchrun starts so many. folder: relative to a
    store. reference_id: of the run that measures its wall-clock budget, if it has one.
    """

    words: Words
    line: Words
    processes: int
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
    configs: dict[Words, Config] = {}
    runs: dict[str, Planned] = {}
    for words in asked.words:
        run = _planned(words, configs)
        if asked.distinct and run.id in runs:
            raise UsageError(f"{asked.name}: the same run twice: {' '.join(runs[run.id].words)} and {' '.join(words)}")
        runs.setdefault(run.id, run)
    return list(runs.values())


def _planned(words: Words, configs: dict[Words, Config]) -> Planned:
    line, processes = _parted(words)
    config = _config(line, configs)
    kept = semantic(config | {"world_size": processes})
    reference_id = _reference_id(line, configs)
    return Planned(words, line, processes, run_id(kept), group_id(kept), run_folder("", kept), config, reference_id)


def _parted(words: Words) -> tuple[Words, int]:
    """Return the words for train.py, and in how many processes torchrun starts it."""
    line = tuple(word for word in words if not word.startswith("processes="))
    number = option(words, "processes", "1")
    if not (number.isdecimal() and number.isascii() and 0 < int(number) < 1000):
        raise UsageError(f"processes: {number!r} is not a number of processes; allowed: 1 to 999")
    return line, int(number)


def _config(words: Words, configs: dict[Words, Config]) -> Config:
    """Compose a command line, and its seeds on copies; `configs` has what was composed before.

    Where something may refer to the seed, or where it is given twice, it is composed like any other word.
    """
    seeds = [word for word in words if word.lstrip("+").startswith("seed=")]
    alone = len(seeds) == 1 and SEED.fullmatch(seeds[0]) is not None and not any("${" in word for word in words)
    rest = tuple(word for word in words if word not in seeds) if alone else words
    if rest not in configs:
        configs[rest] = compose(list(rest))
    return configs[rest] | {"seed": int(seeds[0].partition("=")[2])} if alone else configs[rest]


def _reference_id(words: Words, configs: dict[Words, Config]) -> str | None:
    config = _config(words, configs)
    if "reference" not in config["budget"]:
        return None
    line = tuple(reference.words(words, config["budget"]["reference"]))
    return run_id(semantic(reference.configuration(_config(line, configs), config)))


def option(words: Words, group: str, default: str) -> str:
    """Return what a command line chooses for a group."""
    return next((word.partition("=")[2] for word in words if word.startswith(f"{group}=")), default)


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
    def same(a: Any, b: Any) -> bool:
        return a == b or (isinstance(a, float) and isinstance(b, float) and isclose(a, b))

    wrong = [{k: options.get(k) for k, v in needed.items() if not same(v, options.get(k))} for options in found]
    fewest = min(wrong, key=len)
    differences = ", ".join(f"{key} {needed[key]} and {value}" for key, value in fewest.items())
    return f"not one base: {names[2]} and {base} on {' '.join(names[:2])}: {differences}" if fewest else ""
