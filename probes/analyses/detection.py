"""AdamP, Section C: cosines of weight and gradient tell the scale-invariant weights, over a wide range of delta."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt

import optim.groups
from probes.analyses.draw import Check, save
from probes.analyses.loop import dataset, fit, long, network

STEPS = {"cpu": 60, "paper": 2000}
DELTAS = np.logspace(-4, 1, 41)
NOTE = (
    "ResNet20 on digits in the place of ResNet18 on ImageNet. Others: the classifier, and scales and shifts of "
    "norms, which AdamP does not test. Told right: share of matrices over all steps for which the test (by filter, "
    "then whole) agrees with the module graph. Paper's 99 % intervals: [5.5e-10, 4.4e-6] and [0.0028, 0.566]."
)


def run(out: Path, scale: str) -> list[Check]:
    """Draw detection.png, .pdf, .csv; the check is perfect detection of matrices at the paper's delta, 0.1."""
    images = dataset(scale)
    model = network("resnet20", images)
    invariant = optim.groups.scale_invariant(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    table = long(fit(model, optimizer, images, STEPS[scale], {"cosine": {"every": 1}}))
    table["invariant"] = table.layer.isin(invariant.keys())
    table["matrix"] = table.layer.isin([name for name, p in model.named_parameters() if p.ndim > 1])
    matrices = table[table.matrix]
    lowest = np.minimum(matrices.channel, matrices.whole)
    told = {name: [((lowest < d) == matrices.invariant)[chosen].mean() for d in DELTAS] for name, chosen in (
        ("invariant", matrices.invariant), ("others", ~matrices.invariant))}  # fmt: skip
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
    for label, values in (("scale-invariant", table[table.invariant]), ("others", table[~table.invariant])):
        shown = values.cosine[values.cosine > 0]
        low, high = np.quantile(shown, [0.005, 0.995])
        left.hist(shown, bins=np.logspace(-12, 0, 61), alpha=0.7, label=f"{label}, 99 %: {low:.1e} to {high:.1e}")
    left.set(xscale="log", xlabel="|cos(w, gradient)|", ylabel="tensors x steps")
    for label, shares in told.items():
        right.plot(DELTAS, shares, label=label)
    right.axvline(0.1, color="0.6", linestyle=":")
    right.set(xscale="log", xlabel="delta", ylabel="told right", ylim=(0, 1.05))
    left.legend(loc="upper left", fontsize=7), right.legend()
    save(figure, out, "detection", table, NOTE)
    at = told["invariant"][int(np.argmin(abs(DELTAS - 0.1)))], told["others"][int(np.argmin(abs(DELTAS - 0.1)))]
    return [
        Check("scale-invariant told at delta 0.1 (Section C)", 1, at[0]),
        Check("others told at 0.1", 1, at[1], 0.1),
    ]
