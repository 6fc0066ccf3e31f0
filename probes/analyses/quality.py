"""RMSGD, Figures 1b, 3, 5, 6 and 2a: structure of the layers over training, and what Q says of generalisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from scipy import stats

from probes.analyses.draw import Check, save
from probes.analyses.runs import SCALES, Run
from probes.analyses.runs import run as trained

HEAVY = ["optimizer.momentum=0.9", "optimizer.weight_decay=5e-4"]
OPTIMIZERS = {
    "sgd": ["optimizer.lr=0.1", *HEAVY],
    "adam": ["optimizer.lr=1e-3"],
    "adabelief": ["optimizer.lr=1e-3"],
    "adamp": ["optimizer.lr=1e-3"],
    "rmsgd": ["optimizer.lr=0.03", "optimizer.weight_decay=5e-4", "schedule=constant"],
}
DRAWN = ("sgd", "adam", "rmsgd")
BETAS, SEEDS = (0.8, 0.9, 0.98), (0, 1, 2)
VALUES = {"stable_rank": "stable rank s", "condition": "condition", "quality": "quality q", "rate": "rate"}
NOTE = "{words}. Paper: ResNets on CIFAR, hundreds of epochs; its values of beta are in a figure only, these are ours."


def run(out: Path, scale: str) -> list[Check]:
    """Draw quality.* (layers x epochs, and beta) and generalisation.* (Figure 2a, with correlations); no checks."""
    nets, words = SCALES[scale]["nets"], SCALES[scale]["words"]
    keys = [(net, name, seed) for net in nets for name in OPTIMIZERS for seed in SEEDS]
    runs = {key: one(words, *key[:2], [f"seed={key[2]}"]) for key in keys}
    betas = {beta: one(words, nets[0], "rmsgd", [f"optimizer.beta={beta}"]) for beta in BETAS}
    layers(
        out,
        {name: runs[nets[0], name, SEEDS[0]] for name in DRAWN},
        betas,
        NOTE.format(words=" ".join([nets[0], *words])),
    )
    generalisation(out, runs, NOTE.format(words=" ".join(words)))
    return []


def one(words: list[str], net: str, name: str, more: list[str] | None = None) -> Run:
    return trained([*words, f"model={net}", f"optimizer={name}", *OPTIMIZERS[name], *(more or []), "probe=ranks"])


def layers(out: Path, runs: dict[str, Run], betas: dict[float, Run], note: str) -> None:
    """Draw each value as layers over epochs, a column an optimizer, and test accuracy by beta."""
    figure, axes = plt.subplots(len(VALUES), len(runs) + 1, figsize=(3 * len(runs) + 3, 8))
    tables = {name: run.layers("ranks") for name, run in runs.items()}
    for row, (value, title) in enumerate(VALUES.items()):
        top = max(table[value].quantile(0.99) for table in tables.values())
        for column, (name, table) in enumerate(tables.items()):
            order = list(dict.fromkeys(table.layer))
            image = table.pivot(index="layer", columns="epoch", values=value).loc[order]
            extent = (0.5, image.shape[1] + 0.5, len(order) + 0.5, 0.5)
            shown = axes[row, column].imshow(image, aspect="auto", cmap="cividis", vmin=0, vmax=top, extent=extent)
            axes[row, column].set(title=f"{title}, {name}", xlabel="epoch", ylabel="layer")
            figure.colorbar(shown, ax=axes[row, column])
        for name, table in tables.items():
            if value != "rate":
                axes[row, -1].plot(table.groupby("epoch")[value].mean(), label=name)
        axes[row, -1].set(title=f"mean {title}", xlabel="epoch")
    for beta, run in betas.items():
        axes[-1, -1].plot(run.epochs.epoch, run.epochs.test_top1, label=f"beta {beta}")
    axes[-1, -1].set(title="test accuracy of RMSGD (%)")
    axes[0, -1].legend(), axes[-1, -1].legend()
    save(figure, out, "quality", pd.concat([t.assign(optimizer=n) for n, t in tables.items()]), note)


def generalisation(out: Path, runs: dict[tuple[str, str, int], Run], note: str) -> None:
    """Draw Q of the last epoch against test accuracy and against the gap between training and test accuracy."""
    table = pd.DataFrame([summary(*key, run) for key, run in runs.items()])
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.4))
    for axis, value in zip(axes, ("test_accuracy", "gap"), strict=True):
        for net, rows in table.groupby("net"):
            axis.scatter(rows.Q, rows[value], label=net)
        for row in table.itertuples():
            axis.annotate(row.optimizer, (row.Q, getattr(row, value)), (4, -2), textcoords="offset points", fontsize=6)
        axis.set(xlabel="Q", ylabel=value.replace("_", " ") + " (%)", title=correlations(table.Q, table[value]))
    axes[0].legend()
    save(figure, out, "generalisation", table, note)


def summary(net: str, name: str, seed: int, run: Run) -> dict[str, object]:
    last = run.epochs.iloc[-1]
    found = {"Q": run.scalars("ranks").Q.iloc[-1], "test_accuracy": last.test_top1}
    return {"net": net, "optimizer": name, "seed": seed, **found, "gap": last.train_top1 - last.test_top1}


def correlations(x: pd.Series, y: pd.Series, draws: int = 2000) -> str:
    """Return Pearson's r with its 95 % interval (Fisher) and Spearman's with its (bootstrap), as text."""
    pearson = stats.pearsonr(x, y)
    low, high = pearson.confidence_interval()
    picks = np.random.default_rng(0).integers(0, len(x), (draws, len(x)))
    ranks = [x.iloc[pick].rank().corr(y.iloc[pick].rank()) for pick in picks if x.iloc[pick].nunique() > 1]
    below, above = np.nanquantile(ranks, [0.025, 0.975])
    rho = stats.spearmanr(x, y).statistic
    intervals = f"[{low:.2f}, {high:.2f}]", f"[{below:.2f}, {above:.2f}]"
    return f"Pearson {pearson.statistic:.2f} {intervals[0]}\nrank {rho:.2f} {intervals[1]}, n {len(x)}"
