"""What probes saw layer by layer: stable rank and learning rate over epochs (RMSGD, Figure 5), rates on the sphere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from record import read_lines
from reports.cells import Filled, Result
from reports.panels import name_of, panels, tasks
from reports.runs import Row


def series(row: Row, probe: str, name: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return steps or epochs, values [times, layers] and the layers' names that a run's probe wrote; empty if none."""
    lines, _ = read_lines(Path(row["folder"]) / "metrics.jsonl")
    mine = [line for line in lines if line.get("probe") == probe and isinstance(line.get("values", {}).get(name), list)]
    if not mine:
        return np.empty(0), np.empty((0, 0)), []
    last = {line.get("step", line["epoch"]): line for line in mine if line.get("layers") == mine[-1].get("layers")}
    values = [[np.nan if v is None else v for v in line["values"][name]] for line in last.values()]
    return np.array(list(last), float), np.array(values, float), list(mine[-1].get("layers", []))


def by_layer(probe: str, name: str, label: str) -> Callable[[Result, Path], list[Path]]:
    """Return a figure of one line a layer, dark to light from the first to the last; the first seed of each cell."""

    def draw(axis: Any, cells: list[Filled]) -> bool:
        from matplotlib import colormaps

        x, values, layers = series(cells[0].runs[0], probe, name)
        shades = colormaps["cividis"](np.linspace(0, 0.9, max(1, len(layers))))
        for index, shade in enumerate(shades[: len(layers)]):
            axis.plot(x, values[:, index], color=shade, linewidth=0.8)
        axis.set(ylabel=label, xlabel="step" if len(x) and x[-1] > len(x) else "epoch")
        return bool(layers)

    def figure(result: Result, path: Path) -> list[Path]:
        groups = {f"{name_of(cell)}, {task}": [cell] for task, cells in tasks(result).items() for cell in cells}
        seen = {title: cells for title, cells in groups.items() if series(cells[0].runs[0], probe, name)[2]}
        return panels(result, path, seen, draw, legend=False)

    return figure
