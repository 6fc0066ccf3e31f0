"""How long a report takes, and how much memory, as a store grows: python -m benchmarks.report [--runs 1000 10000].

The stores are synthetic, without training: scores are drawn. They hold all seeds of one table, and then tuning trials
of its configurations, at other rates, that no table shows: what a large store mostly is.
"""

import json
import random
import shutil
import sys
import tempfile
from itertools import count, islice
from pathlib import Path
from typing import Any

from benchmarks import parser, spent, write
from conf.cli import guarded, whole
from conf.compose import composed
from papers import table as tables
from record.identity import group_id, run_folder, run_id, semantic

EPOCHS = 20
LINE = "{runs:6} runs: {seconds:5.1f} s, {processor seconds:5.1f} s of the processor, {peak MiB:5.0f} MiB"


def main() -> None:
    """Measure reports of stores of each size; prints a line each and writes the JSON."""
    options = parser("report", __doc__, rounds=1)
    options.add_argument("--runs", type=whole("[1, inf)"), nargs="+", default=[100, 1000, 10_000])
    options.add_argument("--table", choices=tables.names(), default="rmsgd_1a")
    given = options.parse_args()
    found: list[dict[str, float]] = []
    for runs in given.runs:
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder, "store"), runs, given.table)
            for _ in range(given.rounds):
                found.append({"runs": runs} | measured(Path(folder)))
                print(LINE.format(**found[-1]), flush=True)
    write(given.out, {"epochs a run": EPOCHS, "table": given.table, "reports": found})


def measured(folder: Path) -> dict[str, float]:
    """Return seconds by the clock and of the processor, and peak memory, of a first report of <folder>/store."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    places = ("--store", str(folder / "store"), "--out", str(folder / "out"))
    return spent(("-m", "reports", "report", *places))


def fill(store: Path, runs: int, table: str) -> None:
    """Write a store of so many runs: a table's, seed by seed, then the same at other learning rates."""
    draw, cells = random.Random(0), tables.load(table).cells()
    configs = list(composed({cell.overrides for cell in cells})[0].values())
    seeds = range(len(cells[0].seeds))
    every = (_with(config, trial, seed) for trial in count() for seed in seeds for config in configs)
    for config in islice(every, runs):
        folder = run_folder(store, config)
        folder.mkdir(parents=True)
        result, curve = drawn(config, draw)
        (folder / "result.json").write_text(json.dumps(result, indent=1))
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curve))
        (folder / "status.json").write_text('{"schema": 1, "state": "done", "attempt": 1}\n')


def _with(config: dict[str, Any], trial: int, seed: int) -> dict[str, Any]:
    optimizer = config["optimizer"]
    rate = {"lr": (optimizer.get("lr") or 1.0) * 1.01**trial} if trial else {}
    return semantic(config | {"seed": seed, "optimizer": optimizer | rate})


def drawn(config: dict[str, Any], draw: random.Random) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a result with drawn scores, and its epochs."""
    score = draw.gauss(90, 1)
    names = ("top1", "top5", "loss")
    metrics = {f"{part}_{name}": score for part in ("train", "validation", "test") for name in names}
    metrics["lr"] = 0.1
    curve = [
        {"kind": "epoch", "epoch": e, "step": 390 * e, "seconds": 2.0 * e}
        | {key: value * (e / EPOCHS) ** 0.3 for key, value in metrics.items()}
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
    sys.exit(guarded(main))
