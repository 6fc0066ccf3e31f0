"""AdamSRT, Figure 2: what a radial part, a division by Adam's second moment and a past gradient do on the sphere."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from numpy.typing import NDArray

from reports import style
from reports.analyses.command import Check, Scale

Array = NDArray[np.float64]
RADIAL, SIDEWAYS = (-0.6, 0.0, 0.6), 0.6  # A <c, u> and A ||c_perp|| of a step
U = np.ones(3) / 3**0.5  # where gradients are deformed, a point of the sphere in 3 dimensions
PLANE = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # orthonormal, free of U
NOTE = (
    "Computed; the paper draws sketches. (a) u - A c, then back to the sphere: a negative radial part turns u less. "
    "(b) Gradients of norm 1 in the tangent plane of (1, 1, 1), every 2 degrees, and where Adam's first step puts them "
    "(within the plane): six directions alone (anisotropy), with jumps where an entry changes its sign (instability). "
    "(c) Norm of what a past gradient of norm 1 adds to c_perp, by the angle between the points."
)


def sphere(out: Path, scale: Scale) -> list[Check]:
    """Draw sphere.*; the checks: Eq. 12 gives the angle of each step, and transport (Eq. 18) keeps a norm."""
    with style.figure(3, 1, 3.4, 3.2) as (made, ((first, second, third),)):
        steps = pd.DataFrame([step(first, radial) for radial in RADIAL])
        deformed(second)
        past = contributions(third)
        style.save(made, out / "sphere", pd.concat([steps, past]), NOTE)
    wrong = (steps.turned - steps.eq_12).abs().max()
    return [
        Check("1 - largest error of the angle by Eq. 12", 1, 1 - wrong, 1e-9),
        Check("smallest norm of a transported gradient", 1, past.transported.min(), 1e-9),
    ]


def step(axis: Axes, radial: float) -> dict[str, float]:
    """Draw a step from (0, 1) in the plane of u and c; returns the angle turned, and that of Eq. 12."""
    u, end = np.array([0.0, 1.0]), np.array([SIDEWAYS, 1 - radial])
    axis.add_patch(Circle((0, 0), 1, fill=False, color="0.7"))
    axis.plot(*np.stack((u, end)).T, label=f"A <c, u> = {radial:g}")
    axis.plot(*np.stack((end, end / np.linalg.norm(end))).T, ":o", color=axis.lines[-1].get_color(), markevery=[1])
    axis.set(title="(a) a step and its radial part", xlim=(-0.2, 1.2), ylim=(0, 1.8), aspect="equal")
    axis.legend(loc="lower left")
    turned = np.arccos(u @ end / np.linalg.norm(end))
    return {"radial": radial, "turned": turned, "eq_12": np.arctan(SIDEWAYS / (1 - radial))}


def deformed(axis: Axes) -> None:
    """Draw gradients around the tangent plane of U, and psi of each, as far as it lies in the plane."""
    angles = np.deg2rad(np.arange(1, 360, 2))
    gradients = np.stack((np.cos(angles), np.sin(angles)), 1)
    psi = np.sign(gradients @ PLANE) / 3**0.5 @ PLANE.T  # g / (|g| / (d^-1/2 ||g||)), of norm 1
    axis.plot(*gradients.T, ".", markersize=2, label="gradient")
    axis.plot(*psi.T, "o", markersize=4, label="psi(gradient)")
    for gradient, made in zip(gradients[::6], psi[::6], strict=True):
        axis.plot(*np.stack((gradient, made)).T, "-", color="0.8", linewidth=0.6, zorder=0)
    axis.set(title="(b) Adam's first step", aspect="equal")
    axis.legend(loc="center")


def contributions(axis: Axes) -> pd.DataFrame:
    """Draw what past gradients, along and across the way from u_(k-1) to u_k, add to c_perp; and one transported."""
    rows = []
    for angle in np.deg2rad(np.linspace(0, 85, 18)):
        before, now = np.array([1.0, 0, 0]), np.array([np.cos(angle), np.sin(angle), 0])
        along, across = np.array([0.0, 1, 0]), np.array([0.0, 0, 1])
        moved = (now @ before) * along - (now @ along) * before  # Eq. 18, on the unit sphere
        parts = {"along": along, "across": across, "transported": moved}
        rows.append({"degrees": np.rad2deg(angle)} | {name: tangent_norm(g, now) for name, g in parts.items()})
    table = pd.DataFrame(rows)
    table.plot(x="degrees", y=["along", "across", "transported"], ax=axis, style=["-", "--", ":"], ylim=(0, 1.1))
    axis.set(title="(c) a past gradient of norm 1", xlabel="degrees from u_(k-1) to u_k", ylabel="norm in c_perp")
    return table


def tangent_norm(gradient: Array, u: Array) -> float:
    """Return the norm of what of a gradient lies in the tangent plane of u."""
    return float(np.linalg.norm(gradient - (gradient @ u) * u))
