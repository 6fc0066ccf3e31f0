"""AdamSRT, Figures 3 to 5: sizes of the steps on the sphere while a ResNet20 trains."""

from __future__ import annotations

import copy
from pathlib import Path

import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import data
import optim
import optim.groups
from probes.analyses.draw import COLOURS, Check, save
from probes.analyses.loop import fit, load, network, scalars
from probes.analyses.scale import Scale
from probes.analyses.toys import ADAM, SGD, Method

SETS = {"cpu": "fashion_mnist", "paper": "cifar10"}
STEPS = {"cpu": 110, "paper": 150 * 390, "smoke": 2}  # each of the two phases; the paper's are 150 epochs
# Tables 3 and 4 of the paper, ResNet20 on CIFAR-10; the SGD of Figure 5, in neither, as SGD-M.
METHODS = [
    Method("SGD-M", SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 2.5e-4}),
    Method("Adam", ADAM, {"lr": 1e-3, "betas": (0.9, 0.99), "weight_decay": 5e-4}),
    Method("SGD", SGD, {"lr": 0.1, "weight_decay": 2.5e-4}),
    Method("Adam-SRT", "optim.AdamSRT", {"lr": 1e-3, "betas": (0.9, 0.99), "weight_decay": 1e-3 / 128}),
]
PANELS = [
    ("max_radial", "Figure 3: max |A <c, u>|", ("SGD-M", "Adam")),
    ("max_size", "Figure 4: max eta^e ||c_perp||", ("SGD-M", "Adam", "Adam-SRT")),
    ("max_gradient_step", "Figure 5: max (eta ||grad L(x)||)^2", ("SGD",)),
    ("mean_table_rate", "Table 1: mean eta^e", ("SGD-M", "Adam", "SGD", "Adam-SRT")),
]
NOTE = (
    "ResNet20 on {where}, {steps} steps a phase (paper: CIFAR-10, 150 epochs). As in Appendix E.3: a first training by "
    "SGD-M, then norms and classifier frozen, convolutions drawn anew (the paper does not say) and trained. Every step."
)


def run(out: Path, scale: Scale) -> list[Check]:
    """Draw tracking.png, .pdf, .csv; the checks are the orders of magnitude that the paper states."""
    images, steps = load(scale.dataset(SETS)), scale.of(STEPS)
    first = network("resnet20", images)
    vanilla = torch.optim.SGD(first.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    fit(first, vanilla, images, steps, {})
    table = pd.concat([tracked(first, method, images, steps).assign(method=method.label) for method in METHODS])
    save(drawn(table), out, "tracking", table, NOTE.format(where=scale.dataset(SETS)["name"], steps=steps))
    radial = table[table.method.isin(["SGD-M", "Adam"])].max_radial.max()
    return [Check("1 - max |A <c, u>| of SGD-M and Adam: positive (Figure 3)", 0, 1 - radial, at_least=True)]


def drawn(table: pd.DataFrame) -> Figure:
    figure, axes = plt.subplots(1, len(PANELS), figsize=(12, 2.8))
    colours = dict(zip(table.method.unique(), COLOURS, strict=False))
    for axis, (column, title, shown) in zip(axes, PANELS, strict=True):
        for name, rows in table[table.method.isin(shown)].groupby("method"):
            axis.plot(rows.step, rows[column], color=colours[name], linestyle="-", label=name)
        axis.set(yscale="log", xlabel="step", title=title)
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside right center")  # the last panel shows all
    return figure


def tracked(first: torch.nn.Module, method: Method, images: data.Dataset, steps: int) -> pd.DataFrame:
    """Train the convolutions of a copy of `first` anew; returns the scalars of the spherical probe at each step."""
    model, invariant = copy.deepcopy(first), optim.groups.scale_invariant(first)
    fresh = dict(network("resnet20", images, seed=1).named_parameters())
    for name, p in model.named_parameters():
        p.requires_grad_(name in invariant)
        if name in invariant:
            p.data.copy_(fresh[name].data)
    groups = optim.groups.param_groups(model, invariance={"channel": list(invariant)})
    options = {"spherical": {"every": 1, "per_layer": False}}
    rows = fit(model, optim.build(method.target, groups, **method.options), images, steps, options)
    return scalars(rows)
