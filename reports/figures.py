"""All figures of filled tables: which there are, and where they are written."""

from collections.abc import Callable
from pathlib import Path

from reports import layers, panels, sensitivity, standings
from reports.cells import Result

FIGURES: dict[str, Callable[[Result, Path], list[Path]]] = {
    "test_top1": panels.curves("test_top1", "epoch", "epoch"),
    "train_top1": panels.curves("train_top1", "epoch", "epoch"),
    "test_loss": panels.curves("test_loss", "epoch", "epoch"),
    "train_loss": panels.curves("train_loss", "epoch", "epoch"),
    "test_accuracy": panels.curves("test_accuracy", "epoch", "epoch"),
    "test_auc": panels.curves("test_auc", "epoch", "epoch"),
    "time": panels.curves("test_top1", "seconds", "seconds of training"),
    "rate": panels.curves("lr", "epoch", "epoch"),
    "layer_ranks": layers.by_layer("ranks", "stable_rank", "stable rank"),
    "layer_rates": layers.by_layer("ranks", "rate", "learning rate"),
    "layer_effective": layers.by_layer("spherical", "rate", "learning rate on the sphere"),
    "epoch_time": panels.bars("time.epoch_seconds.median", "seconds an epoch", 1.0),
    "memory": panels.bars("memory.peak_bytes", "peak memory (MiB)", 2.0**20),
    "state": panels.bars("memory.optimizer_bytes", "optimizer state (MiB)", 2.0**20),
    "sensitivity": sensitivity.rates,
    "tuning": sensitivity.tuning,
    "heat": sensitivity.heat_map,
    "ranks": standings.rank_diagram,
    "profile": standings.profile,
}


def draw(result: Result, out: Path) -> list[Path]:
    """Draw every figure that a result can fill to <out>/figures; returns the files."""
    if not any(cell.runs for cell in result.cells):
        return []
    stem = result.table.name + ("" if result.scale == "paper" else f"@{result.scale}")
    return [path for name, figure in FIGURES.items() for path in figure(result, out / "figures" / f"{stem}-{name}")]
