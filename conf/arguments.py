"""What words on a command line stand for: the types of the commands' arguments, by the rules of conf/check.py."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from conf.check import check_folder, check_number
from conf.errors import UsageError
from conf.grammar import place

Value = TypeVar("Value")


def number(allowed: str) -> Callable[[str], float]:
    """Return the type of a number that lies in an interval, e.g. `number("(0, 1)")`."""
    return _worded(lambda text: _number(text, float, allowed))


def whole(allowed: str) -> Callable[[str], int]:
    """Return the type of a whole number that lies in an interval."""
    return _worded(lambda text: _number(text, int, allowed))


def folder(text: str) -> Path:
    """Read a folder that is there or can be made."""
    return _worded(_folder)(text)


def file(*endings: str) -> Callable[[str], Path]:
    """Return the type of a file that can be written and whose name has one of these endings."""
    return _worded(lambda text: _file(text, endings))


def word(text: str) -> str:
    """Read a name, or a path that a disk can have."""
    return _worded(_word)(text)


def listed(text: str) -> list[str]:
    """Read `a,b,c`."""
    return _worded(_listed)(text)


def _worded(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """Hand a mistake's own words to argparse, which has none but `invalid value` for another error."""

    def reading(text: str) -> Value:
        try:
            return read(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from error

    return reading


def _number(text: str, kind: Callable[[str], Value], allowed: str) -> Value:
    try:
        value = kind(text if text.isascii() and "_" not in text else "")
    except ValueError as error:
        raise UsageError(
            f"{text[:100]!r} is not {'a whole number' if kind is int else 'a number'}; allowed: {allowed}"
        ) from error
    check_number("", value, allowed)
    return value


def _folder(text: str) -> Path:
    path = place(text)
    check_folder("", path)
    return Path(path)


def _file(text: str, endings: tuple[str, ...]) -> Path:
    path = Path(text)
    check_folder("", str(path.parent))
    if path.suffix not in endings or path.is_dir():
        raise UsageError(f"{text!r} is not a file to write; allowed: a name that ends in {', '.join(endings)}")
    return path


def _word(text: str) -> str:
    try:
        Path(text).exists()
    except OSError as error:
        raise UsageError(f"{text[:100]!r}: {error.strerror}") from error
    return text


def _listed(text: str) -> list[str]:
    words = text.split(",")
    if not all(word.strip() for word in words):
        raise UsageError(f"{text!r} is not a list; allowed: names with commas between them")
    return words
