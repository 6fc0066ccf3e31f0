"""RDE-R: samples, targets and, of given runs, predictions side by side; after Figure 1 of SING's supplement.

python -m probes.analyses.rde_sheet [RUN ...] [--data rde|rde_small] [--out FOLDER]    # RUN: a finished run's folder
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

import models
from conf.arguments import folder
from conf.cli import Parser, guarded, one_line
from conf.errors import unknown
from conf.groups import raw
from probes.analyses.draw import Check, grid, save
from probes.analyses.loop import load
from probes.analyses.scale import Scale
from record import read_result
from training.depth import Depth

SETS = {"cpu": "rde_small", "paper": "rde"}
COLUMNS = 10
NOTE = "RDE-R is our re-creation of the paper's data set, which is not public. Under each prediction: rectangles right."


def run(out: Path, scale: Scale) -> list[Check]:
    """Draw rde_sheet.png, .pdf, .csv without predictions."""
    sheet(out, raw("data", scale.of(SETS)), [])
    return []


def sheet(out: Path, options: dict[str, Any], runs: Sequence[Path]) -> None:
    """Draw the first test samples of a data configuration, their targets, and what each run's net predicts."""
    few = dict.fromkeys(("train", "validation", "test"), COLUMNS)  # a sample is the same in any number
    samples = load(options | few | {"synthetic": 0})
    images, targets = (tensor.cpu() for tensor in next(samples.test.batches([torch.arange(COLUMNS)])))
    rows: dict[str, Tensor] = {"image": images.permute(0, 2, 3, 1), "target": targets[:, 1]}
    rows |= {name_of(folder): _predicted(folder, images) for folder in runs}
    figure, axes = grid(len(rows), COLUMNS, 1.1, 1.25)
    scores = []
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name.replace(" ", "\n"))
        for number, (panel, picture) in enumerate(zip(line, pictures, strict=True)):
            panel.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            panel.set(xticks=[], yticks=[])
            if name not in ("image", "target"):
                scores.append({"run": name, "sample": number} | _score(samples.num_classes, picture, targets[number]))
                panel.set_xlabel("{rectangle_accuracy:.0f} %".format(**scores[-1]))
    save(figure, out, "rde_sheet", pd.DataFrame(scores, columns=["run", "sample", "mse", "rectangle_accuracy"]), NOTE)


def name_of(folder: Path) -> str:
    """Return a run's optimizer, seed and id, to label its row."""
    return f"{folder.parent.name} {folder.name[:7]}"


def _predicted(folder: Path, images: Tensor) -> Tensor:
    result = read_result(folder)
    if result is None or not (folder / "weights.pt").exists():
        raise FileNotFoundError(f"{folder}: no finished run with its weights")
    config = result["config"]
    facts = {key: config["data"][key] for key in ("num_classes", "in_channels", "image_size")}
    net = models.build(config["model"], **facts).eval()
    net.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    with torch.no_grad():
        return net(images)[:, 0]


def _score(num_classes: int, picture: Tensor, target: Tensor) -> dict[str, float]:
    meter = Depth(num_classes).meter()
    meter.update(picture[None, None], target[None])
    return {key: meter.result()[key] for key in ("mse", "rectangle_accuracy")}


def main(arguments: list[str] | None = None) -> int:
    """Draw the sheet that the command line asks for. A run that cannot be shown is raised as UsageError."""
    parser = Parser("python -m probes.analyses.rde_sheet", description=__doc__)
    parser.add_argument("runs", nargs="*", type=folder, metavar="RUN")
    parser.add_argument("--data", help="rde or rde_small; default: the first run's, or rde")
    parser.add_argument("--out", type=folder, default=Path("build/figures"))
    options = parser.parse_args(arguments)
    if options.data not in (None, *SETS.values()):
        raise unknown("--data", options.data, SETS.values())
    with one_line(unless=False):
        first = read_result(options.runs[0]) if options.runs else None
        chosen = first["config"]["data"] if first and options.data is None else raw("data", options.data or "rde")
        sheet(options.out, chosen, options.runs)
    print(options.out / "rde_sheet.png")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
