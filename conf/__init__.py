"""Hydra's groups, and the torch-free code that composes and validates a run's configuration."""

import os
import signal


def interruptible(module: str) -> None:
    """Have Ctrl-C end a command with 75 and no traceback while it imports: so far nothing has been written.

    module: the `__name__` of the caller, which is none if it is imported itself.
    """
    if module == "__main__":
        signal.signal(signal.SIGINT, lambda *_: os._exit(75))
