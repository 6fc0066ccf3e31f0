"""AdamSRT, Theorem 4: on a scale-invariant weight SGD with L2 follows AdamG* on the sphere, to second order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt

from probes.analyses.draw import Check, save
from probes.analyses.rosenbrock3d import SCALE, height, surface
from probes.analyses.scale import Scale
from probes.analyses.toys import SGD, Method, descend, rosenbrock_start

RATES, TIME, DECAY = (0.016, 0.008, 0.004, 0.002), 6.0, 0.05
NOTE = (
    f"Not in the paper, which draws no such figure: the 3-D Rosenbrock function of AdamP over {SCALE:.0f}, L2 {DECAY}, "
    f"rate x steps = {TIME}. Equal to second order: halving the rate cuts the angle between the two at least by 4."
)


def run(out: Path, scale: Scale) -> list[Check]:
    """Draw theorem4.png, .pdf, .csv; the check is that the paths meet as the rate falls, at order 2 or better."""
    pairs = {rate: pair(rate) for rate in RATES}
    gaps = {rate: angle(*both) for rate, both in pairs.items()}
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.2))
    for axis, path, name in zip((left, middle), pairs[RATES[0]], ("SGD with L2", "AdamG*"), strict=True):
        surface(axis, path)
        axis.set_title(f"{name}, radius up to {path.norm(dim=1).max():.2f}, loss {height(path[-1]):.2g}")
    for rate, gap in gaps.items():
        right.plot(np.arange(len(gap)) * rate, gap, label=f"rate {rate}")
    right.set(yscale="log", ylim=(1e-13, None), title="angle between the directions", xlabel="rate x step")
    right.legend()
    frames = [pd.DataFrame({"rate": rate, "step": range(len(gap)), "angle": gap}) for rate, gap in gaps.items()]
    save(figure, out, "theorem4", pd.concat(frames), NOTE)
    order = np.log2(gaps[RATES[-2]].max() / gaps[RATES[-1]].max())
    return [Check("order in the rate of the angle between the paths", 2, order, at_least=True)]


def pair(rate: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the two paths from the same point of the unit sphere."""
    options = {"lr": rate, "weight_decay": DECAY}
    methods = Method("SGD", SGD, options), Method("AdamG*", "optim.AdamGStar", options)
    sgd, star = (descend(lambda w: height(w) / SCALE, rosenbrock_start(), m, round(TIME / rate)) for m in methods)
    return sgd, star


def angle(one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    """Return the angle between the directions of two paths at each step; 0 at the start."""
    u, v = (torch.nn.functional.normalize(path, dim=1) for path in (one, other))
    return (2 * torch.asin(((u - v).norm(dim=1) / 2).clamp(max=1))).numpy()
