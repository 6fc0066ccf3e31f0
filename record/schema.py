"""What the JSON files of a run folder hold, as far as anyone computes with it, and the one check of it.

A shape is a Kind, a list of one shape (of every entry), or a mapping of names to shapes; a name that ends in `?` may be
absent. Names that a shape does not know are let through: a newer version may write them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

DEPTH, ENTRIES = 32, 10**6  # of a file's content: levels, and entries of one level


@dataclass(frozen=True)
class Kind:
    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True)
class Each:
    """A mapping of any names to values of one shape."""

    shape: "Shape"


Shape = Kind | Each | list[Any] | dict[str, Any]


def check(value: Any, shape: Shape, where: str = "it") -> None:
    """Raise ValueError, one line that names the place, the value and what is allowed."""
    if isinstance(shape, Kind):
        if not shape.holds(value):
            raise ValueError(f"{where} is {_shown(value)}; allowed: {shape.words}")
    elif isinstance(shape, list):
        _require(value, list, "a list", where)
        for number, entry in enumerate(value):
            check(entry, shape[0], f"{where}[{number}]")
    else:
        _require(value, dict, "a mapping", where)
        for name, entry, inner in _entries(value, shape, where):
            check(entry, inner, name if where == "it" else f"{where}.{name}")


def require_small(value: Any) -> None:
    """Raise ValueError for plain data deeper, or with more entries, than any reader goes: hashing them recurses."""
    layer = [value]
    for _ in range(DEPTH):
        inner = (node.values() if isinstance(node, dict) else node for node in layer if isinstance(node, dict | list))
        layer = list(islice(chain.from_iterable(inner), ENTRIES))
        if len(layer) == ENTRIES:
            raise ValueError("too many entries")
    if layer:
        raise ValueError("nested too deep")


def _entries(value: dict[str, Any], shape: Each | dict[str, Any], where: str) -> list[tuple[str, Any, Shape]]:
    if isinstance(shape, Each):
        return [(name, entry, shape.shape) for name, entry in value.items()]
    missing = [name for name in shape if not name.endswith("?") and name not in value]
    if missing:
        raise ValueError(f"{where} has no {missing[0]!r}")
    named = {name.removesuffix("?"): inner for name, inner in shape.items()}
    return [(name, value[name], inner) for name, inner in named.items() if name in value]


def _require(value: Any, kind: type, words: str, where: str) -> None:
    if not isinstance(value, kind):
        raise ValueError(f"{where} is {_shown(value)}; allowed: {words}")


def _shown(value: Any) -> str:
    text = "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def maybe(kind: Kind) -> Kind:
    return Kind(f"{kind.words} or null", lambda value: value is None or kind.holds(value))


def one_of(*names: str) -> Kind:
    return Kind(", ".join(names), lambda value: isinstance(value, str) and value in names)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


ANYTHING = Kind("anything", lambda value: True)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("a text", lambda value: isinstance(value, str))
NUMBER = Kind("a number", _is_number)
COUNT = Kind("a whole number from 0", _is_count)
PROCESS = Kind("a process's number", lambda value: _is_count(value) and 0 < value < 2**31)
SERIES = Kind(
    "a number, or a list of numbers, each or null",
    lambda value: all(entry is None or _is_number(entry) for entry in (value if isinstance(value, list) else [value])),
)

NAMED = {"name": TEXT}
NUMBERS = Each(maybe(NUMBER))
PLATFORM = {"device": maybe(TEXT), "torch": maybe(TEXT), "threads": maybe(COUNT)}
RESULT = {
    "schema": COUNT,
    "id": TEXT,
    "group_id": TEXT,
    "config": {"data": NAMED | {"num_classes?": COUNT}, "model": NAMED, "optimizer": NAMED, "seed": COUNT},
    "labels": {"notes?": Each(ANYTHING)},
    "platform": PLATFORM,
    "machine": Each(maybe(TEXT)),
    "one_platform": FLAG,
    "attempts": COUNT,
    "metrics_sha256": TEXT,
    "weights_sha256?": maybe(TEXT),
    "state": one_of("done", "diverged"),
    "metrics": NUMBERS,
    "selected?": NUMBERS,
    "steps?": maybe(NUMBER),
    "epochs?": maybe(NUMBER),
    "parameters?": maybe(NUMBER),
    "time?": {"train_seconds?": maybe(NUMBER), "epoch_seconds?": NUMBERS, "step_seconds?": NUMBERS},
    "memory?": NUMBERS,
    "target?": {"metric?": maybe(TEXT), "value?": maybe(NUMBER)},
}
STATUS = {"state": TEXT, "attempt": COUNT, "kind?": TEXT, "message?": TEXT}
ATTEMPT = {"started": NUMBER, "overrides": [TEXT], "versions": Each(TEXT), "threads?": maybe(COUNT)}
ENVIRONMENT = {"attempts": [ATTEMPT]}
CLAIM = {"host": TEXT, "machine": TEXT, "pid": PROCESS, "started": maybe(TEXT), "token?": TEXT, "released?": FLAG}
ROW = {
    "kind?": TEXT,
    "probe?": TEXT,
    "epoch?": NUMBER,
    "step?": NUMBER,
    "seconds?": maybe(NUMBER),
    "values?": Each(SERIES),
    "layers?": [TEXT],
}
