"""SING, Theorem 3.1: the step that leaves a narrow minimum, against depth; and that clipping changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn

import data
import optim
from optim.stages import centralize, normalize
from probes.analyses.draw import Check, save
from probes.analyses.growth import net
from probes.analyses.loop import fit, load
from probes.analyses.scale import Scale

Make = Callable[..., torch.optim.Optimizer]
DEPTHS, RADIUS, WIDTH = (1, 2, 4, 8, 16, 32, 64, 128, 256), 0.1, 16
CURVATURES = {"GD, curvature 0.1": 0.1, "GD, curvature 1": 1.0}
CLIPS = (None, 1.0, 0.1, 0.01)
SETS, STEPS = {"cpu": "digits", "paper": "cifar10"}, {"paper": 50, "smoke": 2}
TRAINED = [("SING", optim.SING, 1e-2), ("SGD", torch.optim.SGD, 0.1), ("AdamW", torch.optim.AdamW, 1e-2)]
NOTE = (
    f"Left: a basin k ||x||^2 / 2 of radius r = {RADIUS}, D blocks of {WIDTH} entries; the smallest rate that leaves "
    "it in one step from its rim (bisection on real steps), where the theorem's bounds are met with equality. Right: "
    "largest relative change of a weight after {steps} steps on {data} when each tensor's gradient is clipped."
)


def run(out: Path, scale: Scale) -> list[Check]:
    """Draw narrow.png, .pdf, .csv; the checks are the theorem's bounds, and SING's deafness to clipping."""
    steps = scale.of(STEPS)
    rates = pd.DataFrame([row for depth in DEPTHS for row in escapes(depth)])
    changes = clipping(load(scale.dataset(SETS)), steps)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
    for method, rows in rates.groupby("method"):
        left.plot(rows.depth, rows.rate / RADIUS, marker=".", label=method)
        left.plot(rows.depth, rows.bound / RADIUS, color="0.6", linestyle=":")
    left.set(xscale="log", yscale="log", xlabel="blocks D", ylabel="rate needed / r")
    left.set_title("leaving a narrow minimum (dotted: Theorem 3.1)")
    left.legend(loc="lower left", fontsize=6)
    for method, rows in changes.groupby("method"):
        right.plot(rows.clipped_at, rows.change.clip(lower=1e-17), marker="o", label=method)
    right.set(xscale="log", yscale="log", xlabel="clipped at norm", ylabel="change of weights", title="clipping")
    right.legend()
    save(figure, out, "narrow", pd.concat([rates, changes]), NOTE.format(steps=steps, data=scale.dataset(SETS)["name"]))
    worst = (rates.rate / rates.bound - 1).abs().max()
    sing = changes[changes.method == "SING"].change.max()
    return [
        Check("rate needed / bound of Theorem 3.1, farthest from 1", 1, 1 + worst),
        Check("1 + change of SING by clipping (Appendix D.1)", 1, 1 + sing, 1e-4),
    ]


def escapes(depth: int) -> list[dict[str, object]]:
    """Return rows of (method, depth, rate, bound) for the rim of the basin, in a random direction."""
    start = torch.randn(depth, WIDTH, generator=torch.Generator().manual_seed(depth), dtype=torch.double)
    start *= RADIUS / start.norm()
    rows = []
    for method, k in CURVATURES.items():
        found = smallest(lambda rate, k=k: leaves(start, k, torch.optim.SGD, rate))
        rows.append({"method": method, "rate": found, "bound": 2 * RADIUS / (k * RADIUS)})
    one = start.flatten()[None, None]  # normalised GD is SING with everything in one block
    balanced = start * (RADIUS / depth**0.5) / start.norm(dim=1, keepdim=True)  # parallel to SING's step
    for method, blocks, bound in (("normalised GD", one[0], 1), ("SING", balanced, depth)):
        found = smallest(lambda rate, blocks=blocks: leaves(blocks, 1.0, normalised, rate))
        rows.append({"method": method, "rate": found, "bound": 2 * RADIUS / bound**0.5})
    return [row | {"depth": depth} for row in rows]


def normalised(params: list[nn.Parameter], lr: float) -> optim.Chain:
    """x <- x - lr phi(g) / Gamma(phi(g)), Eq. 2 of SING, without a base."""
    return optim.Chain(params, (centralize(), normalize(0.0)), lr=lr)


def leaves(blocks: Tensor, curvature: float, make: Make, rate: float) -> bool:
    """Whether one real step from `blocks` ends outside the basin."""
    params = [nn.Parameter(block.clone()) for block in blocks]
    for p in params:
        p.grad = curvature * p.detach()
    make(params, lr=rate).step()
    return torch.cat([p.detach() for p in params]).norm().item() > RADIUS


def smallest(escaped: Callable[[float], bool], low: float = 0.0, high: float = 100.0) -> float:
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if escaped(middle) else (middle, high)
    return high


def clipping(images: data.Dataset, steps: int) -> pd.DataFrame:
    """Return rows of (method, clipped_at, change): trained weights against those without clipping."""
    rows = []
    for method, target, lr in TRAINED:
        finals = [trained(images, steps, target, lr, clip) for clip in CLIPS]
        changes = [((final - finals[0]).abs().max() / finals[0].abs().max()).item() for final in finals[1:]]
        rows += [
            {"method": method, "clipped_at": clip, "change": c} for clip, c in zip(CLIPS[1:], changes, strict=True)
        ]
    return pd.DataFrame(rows)


def trained(
    images: data.Dataset, steps: int, target: Callable[..., torch.optim.Optimizer], lr: float, clip: float | None
) -> Tensor:
    """Return the weights after `steps` steps, each tensor's gradient clipped to norm `clip`."""
    model = net(images.in_channels * images.image_size**2, images.num_classes)

    def shorten(p: Tensor) -> None:
        nn.utils.clip_grad_norm_(p, clip or torch.inf)

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(shorten)
    fit(model, target(model.parameters(), lr=lr), images, steps, {})
    return nn.utils.parameters_to_vector(model.parameters()).detach()
