"""What all commands have in common: a mistake is one line and exit code 1."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from conf.errors import UsageError, of_the_system

FAILED = 70  # an exit code: no mistake of the user's


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


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are UsageErrors: one line, exit code 1. Its subparsers are of its kind."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}")


def guarded(call: Callable[[], int | None]) -> int | None:
    """Run a command's main function; a UsageError becomes one line and exit code 1. A reader may leave (`| head`)."""
    try:
        with of_the_system():
            code = call()
            sys.stdout.flush()
    except UsageError as error:
        refuse(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain once more at its end
        return 0
    return code


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
