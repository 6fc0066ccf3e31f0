"""AdamP, Figures 3, G.1, G.2 and H.1: Rosenbrock's function on the sphere, where the radius is of no use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from torch import Tensor

from probes.analyses.draw import COLOURS, Check, grid, save
from probes.analyses.scale import Scale
from probes.analyses.toys import ADAM, ADAMW, SGD, Method, angles, descend, rosenbrock, rosenbrock_start

STEPS, SCALE = 300, 1000.0
SEARCHED = [10 ** (-3 + k / 4) for k in range(9)]  # the paper's range, 0.001 to 0.1
NOTE = (
    f"Calibrated, not in the paper: the loss is divided by {SCALE:.0f} (undivided it explodes at every rate of the "
    f"paper's range), {STEPS} steps, the rates of the first three panels and the decay {{decay}}, from the radii "
    "3.2, 2.53 and 1.12. All other rates: the best of 9 in [0.001, 0.1], as the paper says it searched. Rates fall "
    "linearly to 0. RMSGD's path is that of GD with momentum: a single row has stable rank 0, so its rate stays."
)
DECAY = 0.175
HEAVY = {"momentum": 0.9}
FREE = {"omega": 0.0, "grad_clip": 0.0, "lr_ratio": 1.0}
CLIPPED = FREE | {"grad_clip": 0.1}
FIXED = {
    "GD, momentum": Method("GD, momentum", SGD, HEAVY | {"lr": 0.0099}),
    "GD, momentum, decay": Method("GD, momentum, decay", SGD, HEAVY | {"lr": 0.0099, "weight_decay": DECAY}),
    "SGDP": Method("SGDP", "optim.SGDP", HEAVY | {"lr": 0.0092}),
}
SEARCH = [
    Method("SGDG, clipped", "optim.SGDG", HEAVY | CLIPPED),
    Method("SGDG", "optim.SGDG", HEAVY | FREE),
    Method("SGD-MRT", "optim.SGDMRT", HEAVY),
    Method("Adam", ADAM),
    Method("AdamW, decay 1", ADAMW, {"weight_decay": 1.0}),
    Method("AdamP", "optim.AdamP"),
    Method("AdamG, clipped", "optim.AdamG", CLIPPED),
    Method("AdamG", "optim.AdamG", FREE),
    Method("Adam-SRT", "optim.AdamSRT"),
    Method("SING (as a vector)", "optim.SING", flat=True),
]
CHECKS = {"GD, momentum": 3.2, "GD, momentum, decay": 2.53, "SGDP": 1.12}


def run(out: Path, scale: Scale) -> list[Check]:
    """Draw rosenbrock3d.png, .pdf, .csv; the checks are the three radii of Section 3.2."""
    found = FIXED | {method.label: best(method) for method in SEARCH}
    paths = {name: path_of(method) for name, method in found.items()}
    columns = (len(paths) + 1) // 2
    figure, axes = grid(4, columns, width=2.0, height=1.7)
    for place, (name, path) in enumerate(paths.items()):
        row, column = 2 * (place // columns), place % columns
        surface(axes[row, column], path)
        axes[row + 1, 0].set_ylabel("radius")
        axes[row, column].set_title(f"{name}\nrate {found[name].options['lr']:.3g}, loss {height(path[-1]):.2g}")
        radius(axes[row + 1, column], path)
    for axis in axes.flat:
        axis.set_axis_off() if not axis.has_data() else None
    save(figure, out, "rosenbrock3d", table(paths), NOTE.format(decay=DECAY))
    peaks = {name: paths[name].norm(dim=1).max().item() for name in CHECKS}
    return [Check(f"largest radius, {n} (AdamP, Section 3.2)", wanted, peaks[n]) for n, wanted in CHECKS.items()]


def height(w: Tensor) -> Tensor:
    return rosenbrock(*angles(w))


def path_of(method: Method) -> Tensor:
    return descend(lambda w: height(w) / SCALE, rosenbrock_start(), method, STEPS, linear=True)


def best(method: Method) -> Method:
    """Return the method at the searched rate that ends lowest."""
    tried = [Method(method.label, method.target, {**method.options, "lr": lr}, method.flat) for lr in SEARCHED]
    return min(tried, key=lambda m: height(path_of(m)[-1]).nan_to_num(nan=torch.inf).item())


def surface(axis: plt.Axes, path: Tensor) -> None:
    """Draw a path over the scaled angles on the loss."""
    psi, phi = np.meshgrid(np.linspace(-2.4, 2.4, 160), np.linspace(-2.4, 2.4, 160))
    levels = np.linspace(-1, 4, 16)
    axis.contourf(
        psi, phi, np.log10(rosenbrock(psi, phi) + 1e-9), levels=levels, cmap="cividis", extend="both", alpha=0.6
    )
    axis.plot(*angles(path), color=COLOURS[0])
    axis.scatter(*angles(path[::10]), s=4, color=COLOURS[6], zorder=3)
    axis.plot(1, 1, "*", color="white", markeredgecolor="black", markersize=9)
    axis.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), xticks=[], yticks=[])


def radius(axis: plt.Axes, path: Tensor) -> None:
    norm = path.norm(dim=1)
    axis.plot(norm)
    axis.text(0.97, 0.9, f"up to {norm.max():.2f}", transform=axis.transAxes, ha="right")
    axis.set(ylim=(0, max(4.2, norm.max().item() * 1.3)), xlabel="step")


def table(paths: dict[str, Tensor]) -> pd.DataFrame:
    """One row per method and step."""
    frames = []
    for name, path in paths.items():
        psi, phi = angles(path)
        columns = {"psi": psi, "phi": phi, "radius": path.norm(dim=1), "loss": height(path)}
        frames.append(pd.DataFrame({"method": name, "step": range(len(path)), **columns}))
    return pd.concat(frames)
