"""One style for every figure, its data beside it, and the checks against what a paper prints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart; black first.
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#999999", "#F0E442")
DASHES = ("-", "--", ":", "-.")
plt.rcParams |= {
    "axes.prop_cycle": plt.cycler(linestyle=DASHES) * plt.cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "figure.constrained_layout.use": True,
    "font.size": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,
    "savefig.dpi": 150,
}


@dataclass(frozen=True)
class Check:
    """A number that a paper prints (or a theorem gives) beside ours; at_least: a lower bound."""

    what: str
    paper: float
    ours: float
    tolerance: float = 0.01
    at_least: bool = False

    @property
    def met(self) -> bool:
        return (self.at_least and self.ours >= self.paper) or abs(self.ours - self.paper) <= self.tolerance * self.paper

    def __str__(self) -> str:
        verdict = "agrees" if self.met else "DIFFERS"
        wanted = f"{'at least ' if self.at_least else ''}{self.paper:.4g}"
        return f"{self.what}: {self.ours:.6g}, expected {wanted} (within {self.tolerance:.2g}: {verdict})"


def save(figure: Figure, out: Path, name: str, data: pd.DataFrame, note: str = "") -> None:
    """Write <out>/<name>.png, .pdf and .csv; `note`: what the paper leaves out, and was chosen here."""
    out.mkdir(parents=True, exist_ok=True)
    if note:
        figure.supxlabel(note, fontsize=7, color="0.35", wrap=True)
    figure.savefig(out / f"{name}.png")
    figure.savefig(out / f"{name}.pdf", metadata={"CreationDate": None})
    data.to_csv(out / f"{name}.csv", index=False, float_format="%.7g")
    plt.close(figure)


def grid(rows: int, columns: int, width: float = 2.3, height: float = 2.1, **options: Any) -> tuple[Figure, Any]:
    """Return a figure and its [rows, columns] axes; sizes in inches per panel."""
    return plt.subplots(rows, columns, figsize=(columns * width, rows * height), squeeze=False, **options)
