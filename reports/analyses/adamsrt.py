"""AdamSRT, Figures 3 to 5: sizes of the steps on the sphere while a ResNet20 trains."""

import copy
from pathlib import Path

import pandas as pd
import torch

import optim
import optim.invariance
from data.dataset import Dataset
from reports import style
from reports.analyses.command import Check, Scale
from reports.analyses.toys import ADAM, SGD, Method
from reports.analyses.training import fit, load, network, scalars

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


def tracking(out: Path, scale: Scale) -> list[Check]:
    """Draw tracking.png, .pdf, .csv; the checks are the orders of magnitude that the paper states."""
    images, steps = load(scale.dataset(SETS)), scale.of(STEPS)
    first = network("resnet20", images)
    fit(first, torch.optim.SGD(first.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4), images, steps, {})
    table = pd.concat([tracked(first, method, images, steps).assign(method=method.label) for method in METHODS])
    draw(out, table, NOTE.format(where=scale.dataset(SETS)["name"], steps=steps))
    radial = table[table.method.isin(["SGD-M", "Adam"])].max_radial.max()
    return [Check("1 - max |A <c, u>| of SGD-M and Adam: positive (Figure 3)", 0, 1 - radial, at_least=True)]


def draw(out: Path, table: pd.DataFrame, note: str) -> None:
    """Draw tracking.*: a panel a figure of the paper, the last with all methods."""
    with style.figure(len(PANELS), 1, 3, 2.8) as (made, axes):
        for axis, (column, title, shown) in zip(axes[0], PANELS, strict=True):
            for method in (method for method in METHODS if method.label in shown):
                rows = table[table.method == method.label]
                axis.plot(rows.step, rows[column], label=method.label, **method.look(len(rows)))
            axis.set(yscale="log", xlabel="step", title=title)
        made.legend(*axes[0, -1].get_legend_handles_labels(), loc="outside right center")
        style.save(made, out / "tracking", table, note)


def tracked(first: torch.nn.Module, method: Method, images: Dataset, steps: int) -> pd.DataFrame:
    """Train the convolutions of a copy of `first` anew; returns the scalars of the spherical probe at each step."""
    model, invariant = copy.deepcopy(first), optim.invariance.scale_invariant(first)
    fresh = dict(network("resnet20", images, seed=1).named_parameters())
    for name, p in model.named_parameters():
        p.requires_grad_(name in invariant)
        if name in invariant:
            p.data.copy_(fresh[name].data)
    groups = optim.invariance.param_groups(model, invariance={"channel": list(invariant)})
    optimizer = optim.build(method.target, groups, **method.options)
    return scalars(fit(model, optimizer, images, steps, {"spherical": {"every": 1, "per_layer": False}}), "spherical")
