"""Observers of training steps, chosen by `probe=...`, and the papers' analyses (`python -m probes NAME`)."""

from probes.observer import Observer, build
from probes.probe import Probe, Step

__all__ = ["Observer", "Probe", "Step", "build"]
