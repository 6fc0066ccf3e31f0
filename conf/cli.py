"""The command line of train.py, up to the point where torch is needed."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf

from conf import groups
from conf.compose import compose, parse
from conf.errors import Mistake, of_the_system
from conf.validate import HIDDEN, root_defaults

HANDED_TO_HYDRA = ("hydra_help", "info", "shell_completion")


def begin(argv: list[str], finished: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    """Read a command line; returns the checked configuration of a single run, None for a multirun.

    Answers --help and --cfg itself, and leaves if the run is `finished`. A mistake is one line on stderr and exit code
    1, before torch is imported; so is a result that cannot be read.
    """
    try:
        arguments, stray = get_args_parser().parse_known_args(argv[1:])
        if any(getattr(arguments, name) for name in HANDED_TO_HYDRA):
            return None
        if arguments.help:
            _leave(help_text())
        # Hydra's parser gives up at an override behind a flag; those that are no flags are overrides all the same.
        flags = [word for word in stray if word.startswith("-")]
        if flags:
            raise Mistake(f"command line: unknown flag {flags[0]!r}; allowed: --help, --cfg job, -m")
        words = [*arguments.overrides, *stray]
        if arguments.multirun:
            check_sweep(words)
            return None
        config = compose(words)
        if arguments.cfg:
            _leave(OmegaConf.to_yaml(config))
        if finished(config):
            raise SystemExit(0)
        return config
    except ValueError as error:  # a Mistake, or a damaged result
        refuse(error, show="traceback=true" in argv)


def overrides(argv: list[str]) -> list[str]:
    """Return the overrides of a command line without its flags."""
    arguments, stray = get_args_parser().parse_known_args(argv[1:])
    return [*arguments.overrides, *stray]


def refuse(error: Exception, show: bool = False) -> Any:
    """Print a mistake as its one line and exit with 1; `show` raises it with its traceback instead."""
    if show:
        raise error
    lines = str(error).strip().splitlines() or [type(error).__name__]
    print(f"stepbench: {lines[0]}", file=sys.stderr)
    raise SystemExit(1)


@contextmanager
def one_line(*, unless: bool, knob: str = "") -> Iterator[None]:
    """Turn what building a run's parts raises into a Mistake, `unless` the user asked for the traceback.

    knob: what to name first, where the error does not say it.
    """
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        if unless:
            raise
        raise Mistake(f"{knob}: {error}" if knob else str(error)) from error


def check_sweep(words: list[str]) -> None:
    """Compose every job of a multirun once, so that a mistake in the last shows before the first has started."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    launcher = [word.partition("=")[2] for word in words if word.startswith("hydra/launcher=")]
    if launcher == ["joblib"] and find_spec("hydra_plugins.hydra_joblib_launcher") is None:
        raise Mistake("hydra/launcher: joblib is not installed; pip install 'stepbench[joblib]'")
    given = [override for override in parse(words) if not override.key_or_group.startswith("hydra")]
    for jobs in BasicSweeper.split_arguments(given, max_batch_size=None):
        for job in jobs:
            compose(list(job))


def help_text() -> str:
    """Describe the command line: the groups with their options, then the root keys with their defaults."""
    lines = ["python train.py [group=option ...] [key=value ...]", "", "Groups (see conf/<group>/<option>.yaml):"]
    lines += [f"  {group:10} {', '.join(groups.options(group))}" for group in groups.GROUPS]
    lines += ["", "Keys and defaults (groups have keys of their own, e.g. optimizer.lr=0.1):"]
    for key, default in root_defaults().items():
        if key not in (*groups.CHECKED, *HIDDEN):
            lines.append(f"  {key} = {default}")
    lines += ["", "--cfg job prints the composed configuration; -m optimizer=sgd,adamw seed=0,1 makes several runs."]
    return "\n".join(lines)


def _leave(text: str) -> None:
    raise SystemExit(guarded(lambda: print(text) or 0))


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are Mistakes: one line, exit code 1. Its subparsers are of its kind."""

    def error(self, message: str) -> NoReturn:
        raise Mistake(f"{self.prog}: {message}")


def guarded(call: Callable[[], int | None]) -> int | None:
    """Run a command's main function; a Mistake becomes its one line and exit code 1. A reader may leave (`| head`)."""
    try:
        with of_the_system():
            code = call()
            sys.stdout.flush()
    except Mistake as error:
        refuse(error)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain once more at its end
        return 0
    return code
