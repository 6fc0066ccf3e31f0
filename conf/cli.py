"""What all commands have in common: the types of their arguments, and a mistake that is one line and exit code 1."""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

from conf.check import check_folder, check_number
from conf.errors import UsageError, of_the_system

FAILED, AGAIN = 70, 75  # exit codes: no mistake of the user's; the same command goes on
Value = TypeVar("Value")


def refuse(error: Exception, show: bool = False) -> NoReturn:
    """Print a mistake as its one line and exit with 1; `show` raises it with its traceback instead."""
    if show:
        raise error
    tell(error)
    raise SystemExit(1)


def tell(error: Exception) -> None:
    """Print a mistake as its one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    print(f"stepbench: {lines[0]}", file=sys.stderr)


@contextmanager
def one_line(*, unless: bool, key: str = "", but: type[Exception] = UsageError) -> Iterator[None]:
    """Turn what building a run's parts raises into a UsageError, `unless` the user asked for the traceback.

    key: what to name first, where the error does not say it. Of an error whose words are for programmers (a KeyError,
    an assertion) its kind is named too. but: what is no mistake, and passes.
    """
    try:
        yield
    except but:
        raise
    except Exception as error:  # a stranger's net or data set raises anything
        if unless:
            raise
        clear = isinstance(error, ValueError | TypeError | OSError | ImportError)
        first = [key] if key else [] if clear else [f"{type(error).__name__} (traceback=true shows where)"]
        raise UsageError(": ".join([*first, str(error)])) from error


def guarded(call: Callable[[], int | None]) -> int | None:
    """Run a command's main function; a UsageError becomes one line and exit code 1, Ctrl-C exit code 75.

    A reader may leave (`| head`).
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with redirect_stdout(Patient(sys.stdout)), redirect_stderr(Patient(sys.stderr)):
        try:
            with of_the_system():
                code = call()
        except UsageError as error:
            refuse(error)
        except KeyboardInterrupt:
            raise SystemExit(AGAIN) from None
        finally:
            sys.stdout.flush()
    return code


class Patient:
    """A stream whose reader may leave before the end: what is written then goes nowhere, and no run is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def attempt(call: Callable[[], int]) -> int:
    """Run one of several jobs; returns its exit code, whatever it raises: the others are none the worse for it."""
    try:
        with of_the_system():
            return call()
    except UsageError as error:
        tell(error)
        return 1
    except Exception:
        traceback.print_exc()
        return FAILED


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are UsageErrors: one line, exit code 1. Its subparsers are of its kind."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message.replace(': : ', ': ')}")  # a value that is checked without a key


def number(allowed: str) -> Callable[[str], float]:
    """Return the type of a number that lies in an interval, e.g. `number("(0, 1)")`."""
    return partial(_number, float, allowed)


def whole(allowed: str) -> Callable[[str], int]:
    """Return the type of a whole number that lies in an interval."""
    return partial(_number, int, allowed)


def _number(kind: Callable[[str], Value], allowed: str, text: str) -> Value:
    try:
        value = kind(text if text.isascii() and "_" not in text else "")
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"{text[:100]!r} is not {what}; allowed: {allowed}") from error
    check_number("", value, allowed)
    return value


def file(*endings: str) -> Callable[[str], Path]:
    """Return the type of a file that can be written and whose name has one of these endings."""

    def read(text: str) -> Path:
        path = Path(os.path.expanduser(text))
        check_folder("", str(path.parent))
        if path.suffix not in endings or path.is_dir():
            raise UsageError(f"{text!r} is not a file to write; allowed: a name that ends in {', '.join(endings)}")
        return path

    return read


def folder(text: str) -> Path:
    """Read a folder that is there or can be made."""
    path = os.path.expanduser(text)
    check_folder("", path)
    return Path(path)


def word(text: str) -> str:
    """Read a name, or a path that a disk can have."""
    try:
        Path(text).exists()
    except OSError as error:
        raise UsageError(f"{text[:100]!r}: {error.strerror}") from error
    return text


def listed(text: str) -> list[str]:
    """Read `a,b,c`."""
    words = text.split(",")
    if not all(word.strip() for word in words):
        raise UsageError(f"{text!r} is not a list; allowed: names with commas between them")
    return words
