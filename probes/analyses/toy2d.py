"""AdamP, Figure 1: momentum makes the norm of a scale-invariant weight grow until its direction stands still."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.animation import FuncAnimation, PillowWriter

from probes.analyses.draw import COLOURS, Check, save
from probes.analyses.scale import Scale
from probes.analyses.toys import ADAM, ADAMW, SGD, Method, cosine_loss, descend

START, RATE, STEPS = torch.tensor([0.001, 1.0]), 0.02, 518
NOTE = (
    f"Calibrated, not in the paper: rate {RATE} and {STEPS} steps, from the norms 2.93 and 27.87 of GD with momentum; "
    f"rate {RATE} for all others too, decay 0.1 (AdamW: 1). SING sees a vector: centralising a row of two leaves "
    "one direction. RMSGD's path is that of GD with momentum 0.9: a single row has stable rank 0, so its rate stays."
)
HEAVY = {"lr": RATE, "momentum": 0.9}
METHODS = [
    Method("GD", SGD, {"lr": RATE}),
    Method("GD, momentum 0.9", SGD, HEAVY),
    Method("GD, momentum 0.99", SGD, HEAVY | {"momentum": 0.99}),
    Method("GD, momentum 0.9, decay", SGD, HEAVY | {"weight_decay": 0.1}),
    Method("SGDP 0.9", "optim.SGDP", HEAVY),
    Method("SGDP 0.99", "optim.SGDP", HEAVY | {"momentum": 0.99}),
    Method("SGD-MRT 0.9", "optim.SGDMRT", HEAVY),
    Method("Adam", ADAM, {"lr": RATE}),
    Method("AdamW, decay", ADAMW, {"lr": RATE, "weight_decay": 1.0}),
    Method("AdamP", "optim.AdamP", {"lr": RATE}),
    Method("Adam-SRT", "optim.AdamSRT", {"lr": RATE}),
    Method("SGDG", "optim.SGDG", HEAVY | {"omega": 0.0, "grad_clip": 0.0, "lr_ratio": 1.0}),
    Method("AdamG", "optim.AdamG", {"lr": RATE, "omega": 0.0, "grad_clip": 0.0, "lr_ratio": 1.0}),
    Method("SING", "optim.SING", {"lr": RATE}, flat=True),
]
MOVED = ("GD", "GD, momentum 0.9", "GD, momentum 0.99", "SGDP 0.9")


def run(out: Path, scale: Scale) -> list[Check]:
    """Draw toy2d.png, .pdf, .csv and toy2d.gif; the checks are the two norms of Appendix B."""
    paths = {method.label: descend(cosine_loss, START, method, STEPS) for method in METHODS}
    names = [*paths, "norm", "cosine"]
    figure, axes = plt.subplots(4, 4, figsize=(10, 10.5))
    for axis, name in zip(axes.flat, names, strict=True):
        if name in paths:
            plane(axis, paths[name].numpy())
            final = -cosine_loss(paths[name][-1]).item()
            axis.set_title(f"{name}\nnorm up to {paths[name].norm(dim=1).max():.2f}, cosine {final:.3f}")
    curves(axes[3, 2], axes[3, 3], paths)
    save(figure, out, "toy2d", table(paths), NOTE)
    animate(paths, out / "toy2d.gif")
    largest = {name: path.norm(dim=1).max().item() for name, path in paths.items()}
    return [
        Check("largest norm, momentum 0.9 (AdamP, Appendix B)", 2.93, largest["GD, momentum 0.9"]),
        Check("largest norm, momentum 0.99 (AdamP, Appendix B)", 27.87, largest["GD, momentum 0.99"]),
    ]


def plane(axis: plt.Axes, path: np.ndarray) -> None:
    """Draw a path on the loss, which depends on the direction alone."""
    reach = max(1.5, 1.1 * np.abs(path).max())
    line = np.linspace(-reach, reach, 300)  # an even number: the origin, where there is no loss, is not on it
    x, y = np.meshgrid(line, line)
    axis.imshow(y / np.hypot(x, y), extent=(-reach, reach) * 2, origin="lower", cmap="cividis", alpha=0.4)
    axis.add_patch(plt.Circle((0, 0), 1, fill=False, linestyle=":", color="0.4"))
    axis.plot(*path.T, color=COLOURS[0])
    axis.scatter(*path[::20].T, s=6, color=COLOURS[6], zorder=3)
    for label, place, side in (("w0", (0, 1), "bottom"), ("w*", (0, -1), "top")):
        axis.annotate(label, place, xytext=(-12, 0), textcoords="offset points", weight="bold", va=side)
    axis.set(aspect="equal", xticks=[], yticks=[])


def curves(norm: plt.Axes, cosine: plt.Axes, paths: dict[str, torch.Tensor]) -> None:
    for name in MOVED:
        norm.plot(paths[name].norm(dim=1), label=name)
        cosine.plot(-cosine_loss(paths[name]), label=name)
    norm.set(title="norm", xlabel="step", yscale="log")
    cosine.set(title="cosine to w*", xlabel="step")
    norm.legend(fontsize=6)


def table(paths: dict[str, torch.Tensor]) -> pd.DataFrame:
    """One row per method and step."""
    frames = [pd.DataFrame(path, columns=["w1", "w2"]).assign(method=name) for name, path in paths.items()]
    data = pd.concat([frame.rename_axis("step").reset_index() for frame in frames])
    norm = np.hypot(data.w1, data.w2)
    return data.assign(norm=norm, cosine=-data.w2 / norm)[["method", "step", "w1", "w2", "norm", "cosine"]]


def animate(paths: dict[str, torch.Tensor], file: Path, frames: int = 60) -> None:
    """Write the first 300 steps of four methods as a GIF."""
    figure, axes = plt.subplots(1, len(MOVED), figsize=(9, 2.6))
    shown = {name: paths[name][:300].numpy() for name in MOVED}
    for axis, (name, path) in zip(axes, shown.items(), strict=True):
        plane(axis, path)
        axis.lines[0].set_data([], [])
        axis.collections[-1].set_offsets(path[:1])
        axis.set_title(name)

    def frame(number: int) -> list[plt.Artist]:
        now = 1 + number * 300 // frames
        for axis, path in zip(axes, shown.values(), strict=True):
            axis.lines[0].set_data(*path[:now].T)
            axis.collections[-1].set_offsets(path[now - 1 : now])
        return []

    FuncAnimation(figure, frame, frames=frames).save(file, PillowWriter(fps=15), dpi=70)
    plt.close(figure)
