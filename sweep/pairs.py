"""Is SING beside its base the same base? What both have must be equal, or the table compares two things at once."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from math import isclose
from typing import Any

from sweep.plan import Planned

Options = dict[str, Any]

# By `base` of SING: the optimizer that it is beside, and the values that this one has to have.
BASES: dict[str, tuple[str, Callable[[Options], Options]]] = {
    "sgd": ("sgd", lambda sing: {"momentum": sing["betas"][0], "dampening": 0.0, "nesterov": False}),
    "adam": ("adamw", lambda sing: {"betas": sing["betas"], "eps": sing["eps"]}),
    "adabelief": ("adabelief", lambda sing: {"betas": sing["betas"], "eps": sing["eps"] ** 2, "rectify": True}),
    "adafactor": ("adafactor", lambda sing: {"beta2_decay": -0.8, "d": 1.0}),
}


def unlike(runs: Iterable[Planned]) -> list[str]:
    """Return a line for each SING of a plan whose base stands beside it, on the same data and net, but unlike it."""
    beside: dict[tuple[str, ...], list[Options]] = defaultdict(list)
    for run in runs:
        beside[run.names].append(run.optimizer)
    lines = [
        _line(names, base, needed(sing), beside[(*names[:2], base)])
        for names, options in beside.items()
        for sing in options
        if sing["target"] == "optim.SING" and sing.get("base") in BASES  # a custom one has its words in args
        for base, needed in [BASES[sing["base"]]]
        if (*names[:2], base) in beside
    ]
    return sorted({line for line in lines if line})


def _line(names: tuple[str, ...], base: str, needed: Options, found: list[Options]) -> str:
    wrong = [{k: options.get(k) for k, v in needed.items() if not _equal(v, options.get(k))} for options in found]
    fewest = min(wrong, key=len)
    differences = ", ".join(f"{key} {needed[key]} and {value}" for key, value in fewest.items())
    return f"not one base: {names[2]} and {base} on {' '.join(names[:2])}: {differences}" if fewest else ""


def _equal(a: Any, b: Any) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and isclose(a, b))
