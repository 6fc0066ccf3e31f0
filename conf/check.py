"""One value against its default and its range. Torch-free.

A range is a list of choices, or a text, of which each interval may begin with `whole`:

    "[0, 1)"                               a number, or a list of numbers as long as the default
    "whole [1, inf) and [0, 1]"            a list of two, each with its own interval
    "any number of [1, inf), rising"       a list of any length but 0, in which no entry is below the one before it
    "stages", "evaluation"                 what an optimizer is made of (conf/stages.py)

A number without a range has to be finite all the same, and a word, or a list, not empty.
"""

import re
from pathlib import Path
from typing import Any

from conf import stages
from conf.errors import UsageError, nearest, unknown

_INTERVAL = re.compile(r"(?:whole )?([\[(])\s*(\S+?)\s*,\s*(\S+?)\s*([\])])")
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", list: "a list"}
_ANY, _RISING = "any number of ", ", rising"
_LARGEST = 2**63  # what torch and NumPy can hold
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")


def check_tree(prefix: str, values: dict[str, Any], defaults: dict[str, Any], ranges: dict[str, Any]) -> None:
    """Check every value below `prefix` ("": the root) against its yaml; an empty mapping in the yaml is open.

    Raises UsageError at the first key that does not exist, value of a wrong type, or value out of range.
    """
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else key
        if key not in defaults:
            raise unknown(prefix, key, defaults)
        default = defaults[key]
        if isinstance(default, dict) and isinstance(value, dict):
            if default:
                inner = {k.removeprefix(f"{key}."): v for k, v in ranges.items() if k.startswith(f"{key}.")}
                check_tree(name, value, default, inner)
            continue
        check_value(name, value, default, ranges.get(key))


def check_value(key: str, value: Any, default: Any, allowed: Any = None) -> None:
    """Raise UsageError unless `value` is of the kind of `default` and lies in `allowed` (see above)."""
    if isinstance(allowed, list) and (value, isinstance(value, bool)) in [(o, isinstance(o, bool)) for o in allowed]:
        return  # 1 is not true
    if value is None and default is None:
        return
    if isinstance(allowed, str) and allowed in stages.KINDS:
        stages.check(key, value, allowed)
        return
    if default is not None or allowed is None:  # no default and no range: a word
        _check_type(key, value, default)
    if isinstance(value, list) or (isinstance(allowed, str) and (_ANY in allowed or " and " in allowed)):
        _check_list(key, value, default, allowed)
    elif isinstance(allowed, list):
        raise UsageError(f"{key}: {value!r} is not one of {', '.join(map(str, allowed))}{nearest(value, allowed)}")
    elif allowed is not None or (isinstance(value, int | float) and not isinstance(value, bool)):
        check_number(key, value, allowed or "(-inf, inf)")


def check_number(key: str, value: Any, allowed: str) -> None:
    """Raise UsageError unless `value` is a number that lies in an interval."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{key}: {value!r} is not a number; allowed: {allowed}")
    whole = isinstance(value, int) or not allowed.startswith("whole ")
    if not whole or not in_interval(value, allowed) or (isinstance(value, int) and abs(value) >= _LARGEST):
        raise UsageError(f"{key}: {_short(value)} is out of range; allowed: {allowed}")


def check_seeds(key: str, seeds: Any) -> list[int]:
    """Return `seeds`; raises UsageError unless it is a list of seeds, each there once."""
    check_value(f"{key}: seeds", seeds, [0], "any number of whole [0, inf)")
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"{key}: seeds: {seeds!r} holds a seed twice")
    return list(seeds)


def check_name(key: str, value: Any) -> None:
    """Raise UsageError unless `value` can be the name of a folder and a word of a command line, anywhere."""
    if not isinstance(value, str) or NAME.fullmatch(value) is None:
        raise UsageError(f"{key}: {_short(value)} is not a name; allowed: letters, digits, _ . -, at the start no dot")


def check_folder(key: str, value: Any) -> None:
    """Raise UsageError unless `value` is a folder, or one that can be made."""
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{key}: {value!r} is not the name of a folder")
    try:
        there = next(path for path in (Path(value), *Path(value).absolute().parents) if path.exists())
    except (OSError, ValueError) as error:  # too long, or with a NUL
        raise UsageError(f"{key}: {_short(value)} is not the name of a folder: {error}") from error
    if not there.is_dir():
        raise UsageError(f"{key}: {_short(value)}: {there} is not a folder")


def in_interval(value: float, text: str) -> bool:
    """Tell whether `value` lies in an interval written `[0, 1)`, `(0, inf)`, ...; NaN lies in none."""
    match = _INTERVAL.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not an interval: {text!r}")
    left, low, high, right = match.groups()
    above = value >= float(low) if left == "[" else value > float(low)
    below = value <= float(high) if right == "]" else value < float(high)
    return above and below


def _check_type(key: str, value: Any, default: Any) -> None:
    kind = str if default is None else type(default)
    if kind is dict or value is None:
        raise UsageError(f"{key}: {_short(value)} is not {'a mapping' if kind is dict else _KINDS[kind]}")
    fits = isinstance(value, int | float if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not fits or (kind is str and not value.strip() and default != ""):
        raise UsageError(f"{key}: {_short(value)} is not {_KINDS[kind]} (default: {default!r})")


def _check_list(key: str, value: Any, default: Any, allowed: Any) -> None:
    """Check length, order and entries of a list; a list of words, and `any number of`, may have any length but 0."""
    text = allowed if isinstance(allowed, str) else ""
    intervals = text.removeprefix(_ANY).removesuffix(_RISING).split(" and ") if text else [allowed]
    example = list(default or [])
    free = text.startswith(_ANY) or (bool(example) and isinstance(example[0], str))
    length = "1 or more" if free else len(example) or len(intervals)
    if not isinstance(value, list) or not value or (not free and len(value) != length):
        shown = f"each in {allowed}" if allowed else f"as in the default, {default!r}"
        raise UsageError(f"{key}: {_short(value)} is not a list of {length}; allowed: {shown}")
    for number, entry in enumerate(value):
        standard = example[0 if free else number] if example else None
        check_value(f"{key}[{number}]", entry, standard, intervals[number % len(intervals)])
    if text.endswith(_RISING) and value != sorted(value):
        raise UsageError(f"{key}: {_short(value)} does not rise; allowed: {text}")


def _short(value: Any) -> str:
    """Write a value so that it fits in a line."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:100]}... ({len(text)} characters)"
