"""The loss around the weights of finished runs: a slice along random directions (Li et al. 2018)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from conf.cli import one_line
from conf.errors import UsageError
from record.identity import todays
from reports import style
from reports.analyses.command import Check, Scale
from reports.analyses.training import finished, load, trained_net
from reports.runs import proper

IMAGES, DIRECTIONS, REACH = 512, 3, np.linspace(-1, 1, 25)
NOTE = (
    f"Loss on {IMAGES} test images at w + a d, for {DIRECTIONS} random directions d (mean and range); each filter of d "
    "has the norm of the run's own (filter normalisation, Li et al. 2018, Section 4), norms and biases stay."
)


def landscape(out: Path, scale: Scale) -> list[Check]:
    """Draw landscape.*: a line a run of --run; no checks. Raises UsageError for a run without its weights."""
    if not scale.runs:
        raise UsageError("landscape: name finished runs, e.g. --run runs/digits/resnet20/sgd/s0-...")
    rows = []
    with style.figure(1, 1, 5, 3.4) as (made, ((axis,),)):
        for folder in scale.runs:
            with one_line(unless=False):
                losses = profile(folder, scale.trust)
            name = str(folder.resolve().parent.name)
            shown, look = f"{proper(name)} {folder.name[:7]}", style.look(name, len(REACH))
            axis.plot(REACH, losses.mean(0), label=shown, **look)
            axis.fill_between(REACH, losses.min(0), losses.max(0), color=look["color"], alpha=0.15, linewidth=0)
            rows.append(pd.DataFrame({"run": shown, "a": REACH, "loss": losses.mean(0)}))
        axis.set(yscale="log", xlabel="a", ylabel="test loss")
        axis.legend()
        style.save(made, out / "landscape", pd.concat(rows), NOTE)
    return []


def profile(folder: Path, trust: bool = False) -> np.ndarray:
    """Return the cross entropies [directions, points] around a run's weights; raises UsageError for other tasks."""
    config = todays(finished(folder, trust)["config"])
    images = load(config["data"])
    net, draw = trained_net(folder, images, trust), torch.Generator().manual_seed(0)
    inputs, targets = next(images.test.batches([torch.arange(min(IMAGES, len(images.test)))]))
    if targets.ndim != 1 or targets.is_floating_point():
        raise UsageError(f"{folder}: only nets that tell classes have a slice")

    @torch.no_grad()
    def loss(weights: Mapping[str, Tensor]) -> float:
        return cross_entropy(functional_call(net, dict(weights), (inputs,)), targets).item()

    start = dict(net.named_parameters())
    found = []
    for _ in range(DIRECTIONS):
        way = {name: direction(p, draw) for name, p in start.items()}
        found.append([loss({name: p + a * way[name] for name, p in start.items()}) for a in REACH])
    return np.array(found)


def direction(weight: Tensor, draw: torch.Generator) -> Tensor:
    """Return a random tensor whose filters have the norms of the weight's; zero for vectors and scalars."""
    if weight.ndim < 2:
        return torch.zeros_like(weight)
    drawn = torch.randn(weight.shape, generator=draw).to(weight)
    wanted, found = (tensor.detach().flatten(1).norm(dim=1) for tensor in (weight, drawn))
    return torch.mul(drawn, (wanted / found).reshape(-1, *[1] * (weight.ndim - 1)))
