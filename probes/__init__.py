"""Observers of training steps, chosen by `probe=...`; `probes/probe.py` says how to write one."""

from probes.observer import Observer, Options, Row, build
from probes.probe import Probe, Step, Watched

__all__ = ["Observer", "Options", "Probe", "Row", "Step", "Watched", "build"]
