"""One value against its default and its range. Torch-free."""

import math
import re
from typing import Any

from conf.errors import Mistake, nearest, unknown

_INTERVAL = re.compile(r"([\[(])\s*(\S+?)\s*,\s*(\S+?)\s*([\])])")
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", list: "a list"}


def check_tree(knob: str, values: dict[str, Any], defaults: dict[str, Any], ranges: dict[str, Any]) -> None:
    """Check every value below `knob` against the yaml it came from; an empty mapping in the yaml is open.

    Raises Mistake at the first key that does not exist, value of a wrong type, or value out of range.
    """
    for key, value in values.items():
        name = f"{knob}.{key}"
        if key not in defaults:
            raise unknown(knob, key, defaults)
        default = defaults[key]
        if isinstance(default, dict) and isinstance(value, dict):
            if default:
                inner = {k.removeprefix(f"{key}."): v for k, v in ranges.items() if k.startswith(f"{key}.")}
                check_tree(name, value, default, inner)
            continue
        check_value(name, value, default, ranges.get(key))


def check_value(knob: str, value: Any, default: Any, allowed: Any = None) -> None:
    """Raise Mistake unless `value` has the type of `default` and lies in `allowed` (interval or list of choices)."""
    if isinstance(allowed, list) and (value in allowed or str(value) in map(str, allowed)):
        return
    if value is None and default is None:
        return
    if default is not None:
        _check_type(knob, value, default)
    if allowed is None:
        return
    for entry in value if isinstance(value, list) else [value]:
        _check_range(knob, entry, allowed)


def _check_type(knob: str, value: Any, default: Any) -> None:
    kind = type(default)
    if kind is dict or value is None:
        raise Mistake(f"{knob}: {value!r} is not {'a mapping' if kind is dict else _KINDS[kind]}")
    fits = {
        bool: lambda: isinstance(value, bool),
        int: lambda: isinstance(value, int) and not isinstance(value, bool),
        float: lambda: isinstance(value, int | float) and not isinstance(value, bool),
        str: lambda: isinstance(value, str),
        list: lambda: isinstance(value, list),
    }[kind]
    if not fits():
        raise Mistake(f"{knob}: {value!r} is not {_KINDS[kind]} (default: {default!r})")


def _check_range(knob: str, value: Any, allowed: Any) -> None:
    if isinstance(allowed, list):
        raise Mistake(f"{knob}: {value!r} is not one of {', '.join(map(str, allowed))}{nearest(value, allowed)}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Mistake(f"{knob}: {value!r} is not a number; allowed: {allowed}")
    if not in_interval(value, allowed):
        raise Mistake(f"{knob}: {value!r} is out of range; allowed: {allowed}")


def in_interval(value: float, text: str) -> bool:
    """Tell whether `value` lies in an interval written `[0, 1)`, `(0, inf)`, ...; NaN lies in none."""
    match = _INTERVAL.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not an interval: {text!r}")
    left, low, high, right = match.groups()
    above = value >= float(low) if left == "[" else value > float(low)
    below = value <= float(high) if right == "]" else value < float(high)
    return above and below and not math.isnan(value)
