"""Which runs a table or a sweep file asks for, as command lines of train.py.

A table (papers/tables/*.yaml) is read by papers.table, which lays it out as well. A sweep file asks for runs alone:

    protocol, tuned, overrides: {key: value}     common to all runs
    seeds: [0, 1, 2]
    grid: [{optimizer: [sgd], optimizer.lr: [0.1, 0.2]}, {optimizer: adam}]     a union of products
    exclude: [{optimizer: sgd, optimizer.lr: 0.2}]
    search: {kind: random | sobol, n: 20, seed: 0, space: {optimizer.lr: {log: [1.0e-4, 1.0]}}}     times the grid

What is searched is drawn before anything runs: the same on every machine, and as many points for every optimizer.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf import grammar, yamls
from conf.check import check_seeds, check_value
from conf.errors import UsageError, unknown
from papers import table as tables

Words = tuple[str, ...]
Point = dict[str, Any]
SCALES = tables.SCALES
KEYS = ("protocol", "tuned", "overrides", "seeds", "grid", "exclude", "search", "title", "note")


@dataclass(frozen=True)
class Wanted:
    """The runs of one table or sweep file. words: one command line a run, in order, each once.

    distinct: two command lines may not stand for one configuration (in a table two cells may share a run).
    """

    name: str
    words: tuple[Words, ...]
    distinct: bool


def wanted(name: str, scale: str = "paper") -> Wanted:
    """Read a table by name or path, or a sweep file by path.

    Raises UsageError, one line, for what does not exist, an empty grid, or a run that is asked for twice.
    """
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        content = yamls.mapping(name, yamls.load(path))
        if "grid" in content or "search" in content:
            return _sweep_file(path.stem, content, scale)
    return _table(tables.load(name), scale)


def _table(table: tables.Table, scale: str) -> Wanted:
    if not table.has_runs:
        raise UsageError(f"table {table.name}: shows tuned values and has no runs")
    cells = table.cells(scale)
    shown = [(*cell.overrides, f"metric={cell.metric}") for cell in cells]
    if scale == "paper":
        _refuse_twice(table.name, shown)
    words = dict.fromkeys(tuple(run) for cell in cells for run in cell.runs())
    return Wanted(table.name, tuple(words), distinct=False)


def _sweep_file(name: str, content: Point, scale: str) -> Wanted:
    for key in content:
        if key not in KEYS:
            raise unknown(name, key, KEYS)
    small = scale == "smoke"
    fixed = {key: content[key] for key in ("protocol", "tuned") if content.get(key) is not None}
    fixed |= yamls.mapping(f"{name}.overrides", content.get("overrides") or {})
    fixed |= {} if scale == "paper" else {"scale": scale}
    grid = yamls.blocks(f"{name}.grid", content.get("grid") or {})
    exclude = yamls.blocks(f"{name}.exclude", content.get("exclude") or [])
    points = _excluded(name, [point for block in grid for point in tables.expanded(block, small)], exclude, small)
    drawn = draws(yamls.mapping(f"{name}.search", content["search"])) if content.get("search") else [{}]
    seeds = check_seeds(name, content.get("seeds", [0]))
    cut = slice(2) if small else slice(None)
    chosen = itertools.product(points, drawn[cut], seeds[cut])
    words = [_words(fixed | point | draw | {"seed": seed}) for point, draw, seed in chosen]
    if not words:
        raise UsageError(f"{name}: no runs; grid, exclude and seeds leave nothing")
    _refuse_twice(name, words)
    return Wanted(name, tuple(words), distinct=scale == "paper")


def _excluded(name: str, points: list[Point], blocks: list[Point], small: bool) -> list[Point]:
    for block in blocks:
        options = {key: yamls.as_list(value) for key, value in block.items()}
        rest = [p for p in points if not all(key in p and p[key] in values for key, values in options.items())]
        if len(rest) == len(points) and not small:
            raise UsageError(f"{name}.exclude: {' '.join(_words(block))} excludes nothing")
        points = rest
    return points


def _words(point: Point) -> Words:
    return tuple(grammar.word(key, value) for key, value in point.items())


def _refuse_twice(name: str, words: Iterable[Words]) -> None:
    for line, times in Counter(words).items():
        if times > 1:
            raise UsageError(f"{name}: the same run twice: {' '.join(line)}")


SPACES: dict[str, Callable[[float, Any], Any]] = {
    "uniform": lambda u, bounds: bounds[0] + u * (bounds[1] - bounds[0]),
    "log": lambda u, bounds: math.exp(math.log(bounds[0]) + u * (math.log(bounds[1]) - math.log(bounds[0]))),
    "choice": lambda u, options: options[min(int(u * len(options)), len(options) - 1)],
}


def draws(search: Point) -> list[Point]:
    """Draw `n` points of a declared space.

    search: {kind: random | sobol, n, seed: 0, space: {key: {uniform: [a, b]} | {log: [a, b]} | {choice: [...]}}}.
    Raises UsageError for a kind, a space or a key that does not exist, and for bounds that are none.
    """
    for key in search:
        if key not in ("kind", "n", "seed", "space"):
            raise unknown("search", key, ("kind", "n", "seed", "space"))
    kind, n, seed = search.get("kind", "random"), search.get("n", 0), search.get("seed", 0)
    if kind not in KINDS:
        raise unknown("search.kind", kind, KINDS)
    space = axes(search.get("space"))
    check_value("search.n", n, 1, "[1, 100000]")
    check_value("search.seed", seed, 0, "[0, inf)")
    points = []
    for row in KINDS[kind](n, len(space), seed):
        values = {key: SPACES[name](u, limits) for u, (key, name, limits) in zip(row, space, strict=True)}
        points.append({key: rounded(value) for key, value in values.items()})
    return points


def axes(space: Any) -> list[tuple[str, str, list[Any]]]:
    """Return key, kind and limits of each axis of a declared space; raises UsageError for one that is none."""
    found = [(key, *_axis(key, axis)) for key, axis in yamls.mapping("search.space", space).items()]
    if not found:
        raise UsageError("search.space: names no key")
    return found


def rounded(value: Any) -> Any:
    """Return a drawn number to six digits, so that it is the same in a file, on a command line and in an id."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _axis(key: str, axis: Any) -> tuple[str, list[Any]]:
    if not isinstance(axis, dict) or len(axis) != 1:
        allowed = ", ".join(f"{{{name}: [...]}}" for name in SPACES)
        raise UsageError(f"search.space.{key}: {axis!r} is not one of {allowed}")
    name, limits = next(iter(axis.items()))
    if name not in SPACES:
        raise unknown(f"search.space.{key}", name, SPACES)
    if not isinstance(limits, list) or not (limits if name == "choice" else _bounds(limits, positive=name == "log")):
        positive = ", low > 0" if name == "log" else ""
        raise UsageError(f"search.space.{key}.{name}: {limits!r}; allowed: [low, high]{positive}")
    return name, limits


def _bounds(limits: list[Any], positive: bool) -> bool:
    numbers = len(limits) == 2 and all(type(limit) in (int, float) and math.isfinite(limit) for limit in limits)
    return numbers and limits[0] < limits[1] and (limits[0] > 0 or not positive)


def _random(n: int, axes: int, seed: int) -> list[list[float]]:
    generator = random.Random(seed)
    return [[generator.random() for _ in range(axes)] for _ in range(n)]


def _sobol(n: int, axes: int, seed: int) -> list[list[float]]:
    from scipy.stats import qmc

    drawn: list[list[float]] = qmc.Sobol(axes, seed=seed).random_base2(math.ceil(math.log2(n))).tolist()
    return drawn[:n]


KINDS = {"random": _random, "sobol": _sobol}
