"""A small synthetic store for the golden files: no training was done, every number is drawn. Run it to write both anew.

python -m tests.reports.synthetic
"""

import json
import random
import shutil
from pathlib import Path
from typing import Any

from papers import table as tables
from papers.table import Cell, Table
from record.identity import group_id, run_folder, run_id, semantic
from reports.runs import Runs, Words

HERE = Path(__file__).parent
STORE = HERE / "synthetic_store"
GOLDEN = HERE / "golden"
MEANS = {"sgd": 95.3, "adam": 93.3, "sam": 95.55, "rmsgd": 95.6}


def table() -> Table:
    return tables.load(HERE / "synthetic.yaml")


def toy_config(overrides: Words, seed: int = 0) -> dict[str, Any]:
    """Return a synthetic form of a composed configuration, which changes only when this file does."""
    chosen = dict(word.split("=", 1) for word in overrides)
    config: dict[str, Any] = {"data": {"num_classes": 10}, "model": {}, "optimizer": {"lr": 0.1}, "seed": seed}
    for group in ("data", "model", "optimizer"):
        config[group]["name"] = chosen[group]
    labels = {"protocol_name": chosen.get("protocol"), "scale_name": chosen.get("scale", "paper")}
    return config | labels | {"tuned": None, "source": "default", "notes": {}}


def identify(cells: list[Cell]) -> tuple[dict[Words, str], dict[Words, str]]:
    return {cell.overrides: group_id(semantic(toy_config(cell.overrides))) for cell in cells}, {}


def result(overrides: Words, seed: int, draw: random.Random, state: str = "done") -> dict[str, Any]:
    config = toy_config(overrides, seed)
    kept = semantic(config)
    score = round(draw.gauss(MEANS.get(config["optimizer"]["name"], 90.0), 0.15), 2)
    labels = {"protocol": config["protocol_name"], "scale": config["scale_name"], "tuned": None, "source": "default"}
    notes = {"optimizer.lr": "a reason for a test"} if config["optimizer"]["name"] == "adam" else {}
    return {
        "schema": 1, "id": run_id(kept), "group_id": group_id(kept), "config": kept,
        "labels": labels | {"notes": notes},
        "platform": {"device": "cpu", "torch": "0.0-synthetic", "threads": 1},
        "machine": {"host": "synthetic", "cpu": "synthetic processor", "gpu": None},
        "one_platform": True, "attempts": 1, "commits": ["0123456789abcdef"],
        "metrics_sha256": "0" * 64, "weights_sha256": f"{seed}" * 64, "state": state,
        "metrics": {
            "lr": 0.02, "train_loss": 0.01, "train_top1": score, "test_top1": score,
            "test_loss": round((100 - score) / 20, 4),
        },
        "selection": "last", "selected": {"epoch": 5, "step": 50, "seconds": 10.0}, "parameters": 1000,
        "target": {"metric": "top1", "value": 90.0, "reached": {"epoch": 3, "step": 30, "seconds": 6.0 + seed}},
        "time": {"train_seconds": 10.0, "epoch_seconds": {"median": 2.0 * (1 + (seed % 2) / 10), "iqr": 0.1, "n": 5}},
        "memory": {"peak_bytes": 1e8, "optimizer_bytes": 8e6 if "adam" in overrides[-1] else 4e6},
    }  # fmt: skip


def curve(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return five epochs, the last of them as in the result."""
    return [
        {"kind": "epoch", "epoch": e, "step": 10 * e, "seconds": 2.0 * e}
        | {key: round(value * (e / 5) ** 0.3, 4) for key, value in content["metrics"].items()}
        for e in range(1, 6)
    ]


def write_run(store: Path, content: dict[str, Any]) -> Path:
    folder = run_folder(store, content["config"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(content, indent=1) + "\n")
    (folder / "status.json").write_text('{"schema": 1, "state": "done", "attempt": 1}\n')
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curve(content)))
    return folder


def write_store(store: Path = STORE) -> None:
    """Write the store: a cell without runs, one short of a seed, one with a diverged seed, and four bad folders."""
    shutil.rmtree(store, ignore_errors=True)
    draw = random.Random(0)
    for cell in table().cells():
        place = (cell.coordinates["model"], cell.coordinates["optimizer"])
        for seed in cell.seeds:
            if place == ("resnet34", "sam") or (place == ("resnet34", "adam") and seed == 2):
                continue
            state = "diverged" if place == ("resnet34", "sgd") and seed == 1 else "done"
            write_run(store, result(cell.overrides, seed, draw, state))
    spoil(store, draw)


def spoil(store: Path, draw: random.Random) -> None:
    """Add runs that a reader must leave out with one line each: torn, of a newer schema, alien, half copied."""
    words = ("data=cifar10", "model=spoilt", "optimizer=sgd")
    folders = [write_run(store, result(words, seed, draw)) for seed in range(3)]
    (folders[0] / "result.json").write_text('{"schema": 1, "id')
    newer = json.loads((folders[1] / "result.json").read_text()) | {"schema": 99}
    (folders[1] / "result.json").write_text(json.dumps(newer))
    (folders[2] / "metrics.jsonl").unlink()
    alien = store / "cifar10" / "spoilt" / "sgd" / "holiday photos"
    alien.mkdir(parents=True)
    (alien / "README").write_text("no run\n")


def runs() -> Runs:
    from reports.runs import read

    return read(STORE)


def main() -> None:
    from reports import render
    from reports.cells import fill

    write_store()
    GOLDEN.mkdir(exist_ok=True)
    filled = fill(table(), runs(), identify)
    for path in render.write(filled, GOLDEN / "out"):
        shutil.move(path, GOLDEN / path.name)
    shutil.rmtree(GOLDEN / "out")


if __name__ == "__main__":
    main()
