"""How long a report takes, and how much memory, as a store grows: python -m benchmarks.report [--runs 1000 10000].

The stores are synthetic: configurations of the shipped tables, drawn scores, no training. `warm` is
the call after the first, which finds the results that this one read.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

from benchmarks import write
from conf.compose import composed
from papers import table as tables
from record import group_id, run_folder, run_id, semantic

ROOT = Path(__file__).parent.parent
EPOCHS = 20
MIB = 2**10  # of ru_maxrss, which Linux gives in KiB


def main() -> None:
    """Measure reports of stores of each size; prints a line each and writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/report.json"))
    given = parser.parse_args()
    found = []
    for runs in given.runs:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder, "store"), runs)
            found += [measured(Path(folder), runs, state) for state in ("cold", "warm")]
    write(given.out, {"epochs a run": EPOCHS, "reports": found})


def measured(folder: Path, runs: int, state: str) -> dict[str, Any]:
    """Return seconds and peak memory of one report of <folder>/store, run as a command."""
    command = [
        sys.executable,
        "-m",
        "reports",
        "report",
        "--store",
        str(folder / "store"),
        "--out",
        str(folder / "out"),
    ]
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: exit status {status}")
    spent = {"seconds": time.perf_counter() - began, "peak MiB": used.ru_maxrss / MIB}
    print(f"{runs:6} runs, {state}: {spent['seconds']:5.1f} s, {spent['peak MiB']:5.0f} MiB")
    return {"runs": runs, "state": state} | spent


def fill(store: Path, runs: int) -> None:
    """Write a store of so many runs: every configuration that a table shows, seed by seed."""
    draw, configs = random.Random(0), list(configurations())
    every = (semantic(config | {"seed": seed}) for seed in count() for config in configs)
    for config in islice(every, runs):
        folder = run_folder(store, config)
        folder.mkdir(parents=True)
        result, curve = drawn(config, draw)
        (folder / "result.json").write_text(json.dumps(result, indent=1))
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curve))
        (folder / "status.json").write_text('{"schema": 1, "state": "done", "attempt": 1}\n')


def configurations() -> Iterator[dict[str, Any]]:
    """Yield the configurations of all cells of the shipped tables, once each."""
    shown = [table for table in map(tables.load, tables.names()) if table.has_runs]
    made = composed({cell.overrides for table in shown for cell in table.cells()})[0].values()
    yield from {group_id(semantic(config)): config for config in made}.values()


def drawn(config: dict[str, Any], draw: random.Random) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a result with drawn scores, and its epochs."""
    score = draw.gauss(90, 1)
    names = ("top1", "top5", "accuracy", "auc", "label_accuracy", "loss", "mse")
    metrics = {f"{part}_{name}": score for part in ("train", "validation", "test") for name in names}
    curve = [
        {"kind": "epoch", "epoch": e, "step": 390 * e, "seconds": 2.0 * e, "lr": 0.1 / e}
        | {key: value * (1 - 0.5 / e) for key, value in metrics.items()}
        for e in range(1, EPOCHS + 1)
    ]
    result = {
        "schema": 1, "id": run_id(config), "group_id": group_id(config), "config": config,
        "labels": {"protocol": "synthetic", "scale": "paper", "tuned": None, "source": "default", "notes": {}},
        "platform": {"device": "cpu", "torch": "0.0-synthetic", "threads": 1},
        "machine": {"host": "synthetic", "cpu": "synthetic processor", "gpu": None}, "one_platform": True,
        "attempts": 1, "commits": ["0123456789abcdef"], "started": 0.0, "finished": 1.0, "state": "done",
        "metrics_sha256": "0" * 64, "weights_sha256": "0" * 64, "metrics": metrics, "selection": "last",
        "selected": {"epoch": EPOCHS, "step": 390 * EPOCHS, "seconds": 2.0 * EPOCHS}, "parameters": 1000,
        "target": {
            "metric": "top1", "value": 80.0, "reached": {"epoch": 3, "step": 1170, "seconds": draw.uniform(5, 9)},
        },
        "time": {"train_seconds": 40.0, "epoch_seconds": {"median": draw.uniform(2, 3), "iqr": 0.1, "n": EPOCHS}},
        "memory": {"peak_bytes": draw.uniform(1e8, 2e8), "optimizer_bytes": 8e6},
    }  # fmt: skip
    return result, curve


if __name__ == "__main__":
    main()
