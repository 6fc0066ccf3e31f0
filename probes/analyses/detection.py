"""AdamP, Section C: cosines of weight and gradient tell the scale-invariant weights, over a wide range of delta."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt

import optim.groups
from probes.analyses import norms
from probes.analyses.draw import Check, save
from probes.analyses.loop import fit, load, long, network
from probes.analyses.runs import Run
from probes.analyses.runs import run as trained
from probes.analyses.scale import Scale

SETS = {"cpu": "fashion_mnist", "paper": "imagenet"}
STEPS = {"cpu": 60, "paper": 2000, "smoke": 2}
DELTAS = (0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)
# Of Table B.1's accuracies; trained as those of Table 1.
TRAINED_DELTAS = {"paper": (0.01, 0.05, 0.1, 0.2, 1.0), "smoke": (0.1,)}
SEEDS = {"cpu": (0, 1), "paper": (0, 1, 2), "smoke": (0,)}
NOTE = (
    "{net} on {data}, {steps} steps of SGD with momentum. Others: the classifier, and scales and shifts of norms, "
    "which AdamP does not test. Paper: ResNet18 on ImageNet, 99 % intervals [5.5e-10, 4.4e-6] and [0.0028, 0.566]."
)
NOTE_B1 = (
    "Table B.1. Left: share of matrices over all steps of {net} on {data} for which the test (by filter, then whole) "
    "agrees with the module graph. Right: AdamP trained with that delta, {words}; the paper's values of delta could "
    "not be read, these are ours. {seeds} seeds each."
)


def run(out: Path, scale: Scale) -> list[Check]:
    """Draw detection.* (cosines) and delta.* (Table B.1); the check is perfect detection at the paper's delta, 0.1."""
    about = {"net": scale.of(norms.NETS), "data": scale.dataset(SETS)["name"], "steps": scale.of(STEPS)}
    table = measured(scale)
    figure, axis = plt.subplots(figsize=(5, 3.2))
    for label, values in (("scale-invariant", table[table.invariant]), ("others", table[~table.invariant])):
        shown = values.cosine[values.cosine > 0]
        low, high = np.quantile(shown, [0.005, 0.995])
        axis.hist(shown, bins=np.logspace(-12, 0, 61), alpha=0.7, label=f"{label}, 99 %: {low:.1e} to {high:.1e}")
    axis.set(xscale="log", xlabel="|cos(w, gradient)|", ylabel="tensors x steps", title="AdamP, Section C")
    axis.legend(loc="upper left")
    save(figure, out, "detection", table, NOTE.format(**about))
    told = shares(table[table.matrix])
    words, seeds = scale.words(norms.SETS, norms.WORDS), scale.of(SEEDS)
    scores = accuracies([*words, f"model={about['net']}"], scale.of(TRAINED_DELTAS), seeds)
    draw(out, told, scores, NOTE_B1.format(**about, words=" ".join(words), seeds=len(seeds)))
    at = told.set_index("delta").loc[0.1]
    return [
        Check("scale-invariant told at delta 0.1 (Section C)", 1, at.invariant),
        Check("others told at delta 0.1", 1, at.others),
    ]


def measured(scale: Scale) -> pd.DataFrame:
    """Return the cosine probe's rows of a training, with what the module graph says: invariant, matrix."""
    images = load(scale.dataset(SETS))
    model = network(scale.of(norms.NETS), images)
    invariant = optim.groups.scale_invariant(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    table = long(fit(model, optimizer, images, scale.of(STEPS), {"cosine": {"every": 1}}))
    matrices = [name for name, p in model.named_parameters() if p.ndim > 1]
    return table.assign(invariant=table.layer.isin(invariant), matrix=table.layer.isin(matrices))


def shares(matrices: pd.DataFrame) -> pd.DataFrame:
    """Return the shares told right of the invariant matrices and of the others, by delta."""
    lowest = np.minimum(matrices.channel, matrices.whole)
    kinds = {"invariant": matrices.invariant, "others": ~matrices.invariant}
    rows = [{name: ((lowest < d) == matrices.invariant)[of].mean() for name, of in kinds.items()} for d in DELTAS]
    return pd.DataFrame(rows).assign(delta=DELTAS)


def accuracies(words: list[str], deltas: tuple[float, ...], seeds: tuple[int, ...]) -> pd.DataFrame:
    """Return the test accuracy of AdamP for each delta and seed."""
    return pd.DataFrame(
        {"delta": delta, "seed": seed, "test_top1": adamp(words, delta, seed).metrics["test_top1"]}
        for delta in deltas
        for seed in seeds
    )


def adamp(words: list[str], delta: float, seed: int) -> Run:
    return trained([*words, "optimizer=adamp", *norms.ADAM, f"optimizer.delta={delta:g}", f"seed={seed}"])


def draw(out: Path, told: pd.DataFrame, scores: pd.DataFrame, note: str) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
    for label in ("invariant", "others"):
        left.plot(told.delta, told[label], marker=".", label=label)
    left.set(xscale="log", xlabel="delta", ylabel="told right", ylim=(0, 1.05))
    right.plot(scores.delta, scores.test_top1, ".")
    right.plot(scores.groupby("delta").test_top1.mean(), label="mean")
    right.set(xscale="log", xlabel="delta", ylabel="test accuracy of AdamP (%)")
    left.legend(), right.legend()
    save(figure, out, "delta", told.merge(scores, on="delta", how="outer"), note)
