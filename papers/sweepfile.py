"""Sweep files: runs without a table's layout, for `sweep` and for `reports tables FILE`. Torch-free.

    protocol, tuned, overrides: {key: value}     common to all runs
    seeds: [0, 1, 2]
    grid: [{optimizer: [sgd], optimizer.lr: [0.1, 0.2]}, {optimizer: adam}]     a union of products
    exclude: [{optimizer: sgd, optimizer.lr: 0.2}]
    search: {kind: random | sobol, n: 20, seed: 0, space: {optimizer.lr: {log: [1.0e-4, 1.0]}}}     times the grid

What is searched is drawn before anything runs: the same on every machine, and as many points for every optimizer.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from conf import yamls
from conf.check import check_seeds, check_value
from conf.errors import UsageError, require_known
from papers.grid import blocks, kept, keys

Point = dict[str, Any]
KEYS = ("protocol", "tuned", "overrides", "seeds", "grid", "exclude", "search", "title", "note")
SEARCH = ("kind", "n", "seed", "space")


@dataclass(frozen=True)
class SweepFile:
    """fixed: what all runs have. points: what tells them apart, but for the seed. searched: the keys that are drawn."""

    fixed: Point
    points: list[Point]
    seeds: list[int]
    searched: tuple[str, ...]


def read(name: str, content: Point, small: bool = False) -> SweepFile:
    """Check and expand a sweep file's content. small: takes the ends of each list, and two draws and seeds.

    Raises UsageError, one line, beginning with `name`, for what cannot be, and for a file without runs.
    """
    require_known(name, content, KEYS)
    fixed = {key: content[key] for key in ("protocol", "tuned") if content.get(key) is not None}
    fixed |= keys(f"{name}.overrides", content.get("overrides") or {})
    search = yamls.mapping(f"{name}.search", content.get("search") or {})
    grid = blocks(f"{name}.grid", content.get("grid") or ({} if search else []), small)
    exclude = yamls.blocks(f"{name}.exclude", content.get("exclude") or [])
    points = kept(f"{name}.exclude", grid, exclude, lambda point: point, small)
    drawn = draws(search) if search else [{}]
    for key in search.get("space", {}):
        if any(key in point for point in points):
            raise UsageError(f"{name}.search.space: {key}: is in the grid, too")
    seeds = check_seeds(name, content.get("seeds", [0]))
    cut = slice(2) if small else slice(None)
    found = [point | draw for point, draw in product(points, drawn[cut])]
    if not found:
        raise UsageError(f"{name}: no runs; grid, exclude and seeds leave nothing")
    return SweepFile(fixed, found, seeds[cut], tuple(search.get("space", ())))


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
    require_known("search", search, SEARCH)
    kind, n, seed = search.get("kind", "random"), number(search), search.get("seed", 0)
    require_known("search.kind", [kind], tuple(KINDS))
    space = axes(search.get("space"))
    check_value("search.seed", seed, 0, "[0, inf)")
    points = []
    for row in KINDS[kind](n, len(space), seed):
        values = {key: SPACES[name](u, limits) for u, (key, name, limits) in zip(row, space, strict=True)}
        points.append({key: rounded(value) for key, value in values.items()})
    return points


def number(search: Point) -> int:
    """Return how many points are drawn; raises UsageError for what is no number of points."""
    check_value("search.n", search.get("n", 0), 1, "[1, 100000]")
    return int(search["n"])


def axes(space: Any) -> list[tuple[str, str, list[Any]]]:
    """Return key, kind and limits of each axis of a declared space; raises UsageError for one that is none."""
    found = [(key, *_axis(key, axis)) for key, axis in keys("search.space", space).items()]
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
    require_known(f"search.space.{key}", [name], SPACES)
    if not isinstance(limits, list) or not (limits if name == "choice" else _bounds(limits, positive=name == "log")):
        allowed = {"choice": "a list of values", "log": "[low, high], low > 0"}.get(name, "[low, high]")
        raise UsageError(f"search.space.{key}.{name}: {limits!r}; allowed: {allowed}")
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
