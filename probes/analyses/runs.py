"""Runs of train.py with probes, started where they are not there yet."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from probes.analyses.loop import long

# What an analysis of whole trainings runs on: small and real, or the paper's.
SCALES = {
    "cpu": {"nets": ["resnet20", "shufflenetv2"], "words": ["data=digits", "budget.epochs=6", "schedule=cosine"]},
    "paper": {"nets": ["resnet18", "resnet34", "resnet50"], "words": ["data=cifar10", "protocol=rmsgd_cifar"]},
}


@dataclass(frozen=True)
class Run:
    """A finished run: its result's metrics, its epochs, and its probes' rows by probe."""

    metrics: dict[str, Any]
    epochs: pd.DataFrame
    probes: dict[str, list[dict[str, Any]]]

    def layers(self, probe: str) -> pd.DataFrame:
        return long(self.probes[probe])

    def scalars(self, probe: str) -> pd.DataFrame:
        """Return the scalars of a probe's rows, with step and epoch."""
        kept = [{"step": row.get("step"), "epoch": row["epoch"]} | row["values"] for row in self.probes[probe]]
        return pd.DataFrame([{k: v for k, v in row.items() if not isinstance(v, list)} for row in kept])


def run(words: Sequence[str], store: Path = Path("runs")) -> Run:
    """Train by the words of a command line, unless the store has it. Raises RuntimeError, train.py's last line."""
    command = [sys.executable, "train.py", *words, "keep=none", "progress=false", f"paths.store={store}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    folder = Path(done.stdout.strip().splitlines()[-1].rpartition("  ")[2])
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kinds = {row["probe"] for row in rows if "probe" in row}
    return Run(
        json.loads((folder / "result.json").read_text())["metrics"],
        pd.DataFrame([row for row in rows if row.get("kind") == "epoch"]),
        {kind: [row for row in rows if row.get("probe") == kind] for kind in kinds},
    )
