"""Optimizers on a loss of one small tensor; AdamP, Figure 1: momentum lets the norm of an invariant weight grow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from torch import Tensor, nn

import optim
from conf import groups
from reports import style
from reports.analyses.command import Check, Scale

SGD, ADAM, ADAMW = "torch.optim.SGD", "torch.optim.Adam", "torch.optim.AdamW"


@dataclass(frozen=True)
class Method:
    """An optimizer by its dotted class and keywords. flat: takes the weight as a vector, not as one row."""

    label: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    flat: bool = False

    def look(self, points: int = 0) -> dict[str, Any]:
        """Return the optimizer's colour, marker and line in all figures; its momentum chooses the line."""
        name = self.target.rpartition(".")[2].lower().replace("gstar", "g_star")  # as in conf/optimizer
        return style.look(f"{name} {self.options.get('momentum', '')}".strip(), points)


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
MOVED = [METHODS[place] for place in (0, 1, 2, 4)]  # those of the paper's figure


def toy2d(out: Path, scale: Scale) -> list[Check]:
    """Draw toy2d.* and toy2d.gif; the checks are the two norms of Appendix B. `optimizer=...`: those instead."""
    if scale.optimizers:
        return trajectories(out, [by_name(name) for name in scale.optimizers])
    paths = {method.label: descend(cosine_loss, START, method, STEPS) for method in METHODS}
    with style.figure(4, 4, 2.5, 2.6) as (made, axes):
        for axis, method in zip(axes.flat, METHODS, strict=False):
            path = paths[method.label]
            plane(axis, path, method)
            final = -cosine_loss(path[-1]).item()
            axis.set_title(f"{method.label}\nnorm up to {path.norm(dim=1).max():.2f}, cosine {final:.3f}")
        columns = {name: (*path.T, path.norm(dim=1), -cosine_loss(path)) for name, path in paths.items()}
        data = table(("w1", "w2", "norm", "cosine"), columns)
        for axis, value, title in zip(axes[3, 2:], ("norm", "cosine"), ("norm", "cosine to w*"), strict=True):
            for method in MOVED:
                rows = data[data.method == method.label]
                axis.plot(rows.step, rows[value], label=method.label, **method.look(STEPS))
            axis.set(title=title, xlabel="step")
        axes[3, 2].set(yscale="log")
        axes[3, 2].legend(fontsize=6)
        style.save(made, out / "toy2d", data, NOTE)
    animate(paths, out / "toy2d.gif")
    printed = {0.9: 2.93, 0.99: 27.87}
    largest = {beta: paths[f"GD, momentum {beta}"].norm(dim=1).max().item() for beta in printed}
    return [Check(f"largest norm, momentum {b} (AdamP, Appendix B)", printed[b], largest[b]) for b in printed]


# Surfaces that are not scale-invariant: the function of w [..., 2], start, minimum, and how far the picture goes.
SURFACES: dict[str, tuple[Callable[[Tensor], Tensor], tuple[float, float], tuple[float, float], float]] = {
    "narrow valley": (lambda w: (w[..., 0] ** 2 + 100 * w[..., 1] ** 2) / 100, (-1.5, 0.8), (0.0, 0.0), 2.0),
    "Rosenbrock": (
        lambda w: ((1 - w[..., 0]) ** 2 + 100 * (w[..., 1] - w[..., 0] ** 2) ** 2) / 100, (-1.2, 1.0), (1.0, 1.0), 2.0,
    ),
    "Himmelblau": (
        lambda w: ((w[..., 0] ** 2 + w[..., 1] - 11) ** 2 + (w[..., 0] + w[..., 1] ** 2 - 7) ** 2) / 100,
        (-1.0, -1.0), (3.0, 2.0), 5.0,
    ),
}  # fmt: skip
RATES, WALK = [10 ** (-3 + k / 2) for k in range(7)], 200  # from 0.001 to 1


def by_name(name: str) -> Method:
    """Return an optimizer of conf/optimizer with its yaml's values; SING's takes a vector, or nothing of it is left."""
    content = groups.raw("optimizer", name)
    keywords = groups.parts(content)["keywords"]
    return Method(groups.label(name), str(content["target"]), keywords, flat="denominator" in content)


def trajectories(out: Path, methods: Sequence[Method]) -> list[Check]:
    """Draw trajectories.*: each method on each surface, at the rate of RATES that ends lowest; no checks."""
    columns = {}
    with style.figure(len(SURFACES), len(methods), 2.6, 2.4) as (made, axes):
        for row, method in zip(axes, methods, strict=True):
            for axis, (name, (loss, start, end, reach)) in zip(row, SURFACES.items(), strict=True):
                tried = [replace(method, options={**method.options, "lr": rate}) for rate in RATES]
                paths = [descend(loss, torch.tensor(start), one, WALK) for one in tried]
                finals = [loss(path[-1]).nan_to_num(nan=torch.inf).item() for path in paths]
                best = int(np.argmin(finals))
                line = torch.linspace(-reach, reach, 120, dtype=torch.double)
                heights = loss(torch.stack(torch.meshgrid(line, line, indexing="xy"), -1))
                axis.contourf(line, line, (heights + 1e-6).log10(), levels=16, cmap="cividis", alpha=0.6)
                trace(axis, paths[best].numpy(), paths[best][::10].numpy(), method)
                axis.plot(*end, "*", color="white", markeredgecolor="black", markersize=9)
                axis.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
                axis.set_title(f"{method.label}, {name}\nrate {RATES[best]:.3g}, loss {finals[best]:.2g}")
                columns[f"{method.label}, {name}"] = (*paths[best].T, loss(paths[best]))
        rates = f"at the best of {len(RATES)} rates from {RATES[0]:g} to {RATES[-1]:g}"
        note = f"{WALK} steps, {rates}; other values as in conf/optimizer."
        style.save(made, out / "trajectories", table(("w1", "w2", "loss"), columns), note)
    return []


def descend(
    loss: Callable[[Tensor], Tensor], start: Tensor, method: Method, steps: int, linear: bool = False
) -> Tensor:
    """Return the path [steps + 1, d] from `start` [d], in float64; linear: the rate falls linearly to 0.

    Methods that look at rows see one row [1, d], called invariant by channel.
    """
    weight = nn.Parameter(start.double().clone() if method.flat else start.double()[None].clone())
    group = {"params": [weight]} | ({} if method.target.startswith("torch.") else {"invariance": "channel"})
    optimizer = optim.build(method.target, [group], **method.options)
    first, path = float(optimizer.param_groups[0]["lr"]), [start.double()]

    def closure() -> float:
        optimizer.zero_grad()
        value = loss(weight.flatten())
        torch.autograd.backward(value)
        return value.item()

    for step in range(steps):
        if linear:
            optimizer.param_groups[0]["lr"] = first * (1 - step / steps)
        optimizer.step(closure)
        path.append(weight.detach().flatten().clone())
    return torch.stack(path)


def table(names: Sequence[str], paths: Mapping[str, Sequence[Tensor]]) -> pd.DataFrame:
    """Return the columns, called `names`, of each method's path as one table, a row a step."""
    frames = {method: pd.DataFrame(dict(zip(names, columns, strict=True))) for method, columns in paths.items()}
    return pd.concat(frames, names=["method", "step"]).reset_index()


def cosine_loss(w: Tensor) -> Tensor:
    """-cos(w, w*) with w* = (0, -1) (AdamP, Eq. B.1; the paper's text lost the minus sign), over the last dim."""
    return torch.div(w[..., 1], w.norm(dim=-1))


def plane(axis: Axes, path: Tensor, method: Method) -> None:
    """Draw a path on the loss, which depends on the direction alone."""
    points = path.numpy()
    reach = max(1.5, 1.1 * np.abs(points).max())
    line = np.linspace(-reach, reach, 300)  # an even number: the origin, where there is no loss, is not on it
    x, y = np.meshgrid(line, line)
    axis.imshow(y / np.hypot(x, y), extent=(-reach, reach, -reach, reach), origin="lower", cmap="cividis", alpha=0.4)
    axis.add_patch(Circle((0, 0), 1, fill=False, linestyle=":", color="0.4"))
    trace(axis, points, points[::20], method)
    for label, place, side in (("w0", (0, 1), "bottom"), ("w*", (0, -1), "top")):
        axis.annotate(label, place, xytext=(-12, 0), textcoords="offset points", weight="bold", va=side)
    axis.set(aspect="equal", xticks=[], yticks=[])


def trace(axis: Axes, points: np.ndarray, marked: np.ndarray, method: Method) -> None:
    """Draw a path [n, 2] in its optimizer's colour, some of its points marked."""
    axis.plot(*points.T, color=method.look()["color"], linestyle="-")
    axis.scatter(
        marked[:, 0], marked[:, 1], 8, color=method.look()["color"], edgecolor="white", linewidth=0.3, zorder=3
    )


def animate(paths: dict[str, Tensor], file: Path, frames: int = 60) -> None:
    """Write the first 300 steps of four methods as a GIF."""
    shown = [paths[method.label][:300] for method in MOVED]
    with style.figure(len(MOVED), 1, 2.25, 2.6) as (made, axes):
        for axis, method, path in zip(axes.flat, MOVED, shown, strict=True):
            plane(axis, path, method)
            axis.set_title(method.label)

        style.lay_out(made)

        def frame(number: int) -> list[Artist]:
            now = 1 + number * 300 // frames
            for axis, path in zip(axes.flat, shown, strict=True):
                axis.lines[0].set_data(*path[:now].T)
                axis.collections[-1].set_offsets(path[now - 1 : now])
            return []

        FuncAnimation(made, frame, frames=frames).save(file, PillowWriter(fps=15), dpi=70)
