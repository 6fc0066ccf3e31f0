"""Hydra's groups, and the torch-free code that composes and validates a run's configuration."""

import os
import signal
import sys
from importlib.util import find_spec


def begin(module: str) -> None:
    """Begin a command: one line where this Python lacks the suite's packages; Ctrl-C ends it with 75, no traceback.

    The latter while it imports, when nothing has been written. module: the `__name__` of the caller, which is no
    command if it is imported itself.
    """
    if module == "__main__":
        signal.signal(signal.SIGINT, lambda *_: os._exit(75))
        if find_spec("hydra") is None:
            sys.exit(f"stepbench: {sys.executable} lacks hydra-core; `make setup` makes .venv/bin/python, which has it")
