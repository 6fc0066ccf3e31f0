"""Observers of training steps, chosen by `probe=...`, and the papers' analyses (`python -m probes NAME`)."""

from importlib import import_module
from typing import Any

__all__ = ["Observer", "Probe", "Step", "build"]


def __getattr__(name: str) -> Any:
    """Import what takes torch when it is asked for: the command line is read without."""
    if name in __all__:
        return getattr(import_module("probes.observer"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
