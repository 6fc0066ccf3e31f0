"""Hyper-parameters drawn before anything runs: the same draws on every machine, an equal number for every optimizer."""

import math
from collections.abc import Callable
from typing import Any

from conf import yamls
from conf.check import check_value
from conf.errors import UsageError, unknown

SPACES: dict[str, Callable[[float, Any], Any]] = {
    "uniform": lambda u, bounds: bounds[0] + u * (bounds[1] - bounds[0]),
    "log": lambda u, bounds: math.exp(math.log(bounds[0]) + u * (math.log(bounds[1]) - math.log(bounds[0]))),
    "choice": lambda u, options: options[min(int(u * len(options)), len(options) - 1)],
}


def draws(search: dict[str, Any]) -> list[dict[str, Any]]:
    """Draw `n` points of a declared space.

    search: {kind: random | sobol, n, seed: 0, space: {key: {uniform: [a, b]} | {log: [a, b]} | {choice: [...]}}}.
    Numbers are rounded to six digits, so that they are the same in a file, on a command line and in an id. Raises
    UsageError for a kind, a space or a key that does not exist, and for bounds that are none.
    """
    for key in search:
        if key not in ("kind", "n", "seed", "space"):
            raise unknown("search", key, ("kind", "n", "seed", "space"))
    kind, n, seed = search.get("kind", "random"), search.get("n", 0), search.get("seed", 0)
    if kind not in KINDS:
        raise unknown("search.kind", kind, KINDS)
    space = [(key, *_axis(key, axis)) for key, axis in yamls.mapping("search.space", search.get("space")).items()]
    if not space:
        raise UsageError("search.space: names no key")
    check_value("search.n", n, 1, "[1, 100000]")
    check_value("search.seed", seed, 0, "[0, inf)")
    numbers = KINDS[kind](n, len(space), seed)
    return [
        {key: _rounded(SPACES[name](u, limits)) for u, (key, name, limits) in zip(row, space, strict=True)}
        for row in numbers
    ]


def _axis(key: str, axis: Any) -> tuple[str, list[Any]]:
    if not isinstance(axis, dict) or len(axis) != 1:
        raise UsageError(
            f"search.space.{key}: {axis!r} is not one of {', '.join(f'{{{name}: [...]}}' for name in SPACES)}"
        )
    name, limits = next(iter(axis.items()))
    if name not in SPACES:
        raise unknown(f"search.space.{key}", name, SPACES)
    if not isinstance(limits, list) or not (limits if name == "choice" else _bounds(limits, positive=name == "log")):
        raise UsageError(
            f"search.space.{key}.{name}: {limits!r}; allowed: [low, high]{', low > 0' if name == 'log' else ''}"
        )
    return name, limits


def _bounds(limits: list[Any], positive: bool) -> bool:
    numbers = len(limits) == 2 and all(type(limit) in (int, float) and math.isfinite(limit) for limit in limits)
    return numbers and limits[0] < limits[1] and (limits[0] > 0 or not positive)


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _random(n: int, axes: int, seed: int) -> list[list[float]]:
    import random

    generator = random.Random(seed)
    return [[generator.random() for _ in range(axes)] for _ in range(n)]


def _sobol(n: int, axes: int, seed: int) -> list[list[float]]:
    from scipy.stats import qmc

    exponent = math.ceil(math.log2(n))
    return [list(map(float, row)) for row in qmc.Sobol(axes, seed=seed).random_base2(exponent)[:n]]


KINDS = {"random": _random, "sobol": _sobol}
