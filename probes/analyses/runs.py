"""Runs of train.py with probes, started where they are not there yet."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from conf.errors import UsageError
from record import read_lines, read_result


@dataclass(frozen=True)
class Run:
    """A finished run: its result's metrics, its epochs, and its probes' rows by probe."""

    metrics: dict[str, Any]
    epochs: pd.DataFrame
    probes: dict[str, list[dict[str, Any]]]


def run(words: Sequence[str]) -> Run:
    """Train by the words of a command line, unless the store has it. Raises UsageError, train.py's last line."""
    command = [sys.executable, "train.py", *words, "keep=none", "progress=false"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    folder = Path(done.stdout.strip().splitlines()[-1].rpartition("  ")[2])
    result, (rows, _) = read_result(folder), read_lines(folder / "metrics.jsonl")
    if result is None:
        raise UsageError(f"{folder}: no finished run")
    kinds = {row["probe"] for row in rows if "probe" in row}
    return Run(
        result["metrics"],
        pd.DataFrame([row for row in rows if row.get("kind") == "epoch"]),
        {kind: [row for row in rows if row.get("probe") == kind] for kind in kinds},
    )
