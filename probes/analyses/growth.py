"""AdamP, Corollary 2.3: momentum beta multiplies the growth of a scale-invariant weight by 1 + 2 beta / (1 - beta)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch
from matplotlib import pyplot as plt
from torch import nn

from data.dataset import Dataset
from probes.analyses.draw import COLOURS, Check, save
from probes.analyses.loop import fit, load, long
from probes.analyses.scale import Scale

BETAS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)
SETS = {"cpu": "digits", "paper": "cifar10"}
STEPS, RATE = {"paper": 1500, "smoke": 2}, 0.02
NOTE = (
    "The paper gives no experiment for this. Here: {data}, two hidden layers with batch norm, float64, rate {rate}, "
    "{steps} steps. Measured: growth of ||w||^2 over the sum of ||steps||^2, as the corollary assumes equal "
    "update norms. Dashed: against a separate run without momentum, whose updates are not equal."
)


def run(out: Path, scale: Scale) -> list[Check]:
    """Draw growth.png, .pdf, .csv; the checks are the corollary's ratios, within 5 %."""
    images, steps = load(scale.dataset(SETS)), scale.of(STEPS)
    data = pd.concat([measured(images, beta, steps) for beta in BETAS])
    data["separate"] = data.growth / data.layer.map(data[data.beta == 0].set_index("layer").growth)
    figure, axis = plt.subplots(figsize=(5, 3.4))
    theory = data.groupby("beta").theory.first()
    axis.plot(theory.index, theory, label="1 + 2 beta / (1 - beta)", color="0.6", linewidth=4)
    for (layer, rows), marker, colour in zip(data.groupby("layer"), "ox", COLOURS, strict=False):
        axis.plot(rows.beta, rows.ratio, marker, color=colour, label=f"measured, layer {layer}")
        axis.plot(rows.beta, rows.separate, "--", color=colour, label=f"separate runs, layer {layer}")
    axis.set(yscale="log", xlabel="momentum beta", ylabel="ratio of norm growth", title="AdamP, Corollary 2.3")
    axis.legend()
    save(figure, out, "growth", data, NOTE.format(data=scale.dataset(SETS)["name"], rate=RATE, steps=steps))
    means = data.groupby("beta")[["theory", "ratio"]].mean()
    return [Check(f"ratio of growth, beta {beta}", row.theory, row.ratio, 0.05) for beta, row in means.iterrows()]


def measured(images: Dataset, beta: float, steps: int) -> pd.DataFrame:
    """Return growth and ratio of the two invariant weights, one row each."""
    model = net(images.in_channels * images.image_size**2, images.num_classes)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=beta)
    norms = {"norms": {"every": 1, "layers": ["1.weight", "4.weight"]}}
    table = long(fit(model, optimizer, images, steps, norms))
    table["squares"] = table.step_length**2
    sums = table.groupby("layer")[["growth", "squares"]].sum().reset_index()
    return sums.assign(beta=beta, theory=1 + 2 * beta / (1 - beta), ratio=sums.growth / sums.squares)


def net(pixels: int, classes: int) -> nn.Module:
    """Two hidden layers before batch norms, in float64, where the gradient is orthogonal to rounding."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = [nn.Flatten(), nn.Linear(pixels, 32, bias=False), nn.BatchNorm1d(32, eps=1e-30), nn.ReLU()]
        second = [nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32, eps=1e-30), nn.ReLU()]
        return nn.Sequential(*first, *second, nn.Linear(32, classes)).double()
