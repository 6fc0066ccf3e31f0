"""SING: narrow minima and clipping (Theorem 3.1, Appendix D.1), and samples of RDE-R (the supplement's Figure 1)."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

import optim
from conf.cli import one_line
from conf.groups import raw
from data.dataset import Dataset
from optim.stages import centralize, normalize
from reports import style
from reports.analyses.adamp import float64_net
from reports.analyses.command import Check, Scale
from reports.analyses.training import finished, fit, load, trained_net
from training.tasks.depth import Depth

Make = Callable[..., torch.optim.Optimizer]
DEPTHS, RADIUS, WIDTH = (1, 2, 4, 8, 16, 32, 64, 128, 256), 0.1, 16
CURVATURES = {"GD, curvature 0.1": 0.1, "GD, curvature 1": 1.0}
LOOKS = {"GD, curvature 0.1": "sgd k 0.1", "GD, curvature 1": "sgd", "normalised GD": "normalised", "SING": "sing"}
CLIPS = (1.0, 0.1, 0.01)
SETS, STEPS = {"cpu": "digits", "paper": "cifar10"}, {"paper": 50, "smoke": 2}
TRAINED = [("SING", optim.SING, 1e-2), ("SGD", torch.optim.SGD, 0.1), ("AdamW", torch.optim.AdamW, 1e-2)]
NOTE = (
    f"Left: a basin k ||x||^2 / 2 of radius r = {RADIUS}, D blocks of {WIDTH} entries; the smallest rate that leaves "
    "it in one step from its rim (bisection on real steps), where the theorem's bounds are met with equality. Right: "
    "largest relative change of a weight after {steps} steps on {data} when each tensor's gradient is clipped."
)

# rde_sheet
SHEET_SETS = {"cpu": "rde_small", "paper": "rde"}
COLUMNS = 10
SHEET_NOTE = (
    "RDE-R is our re-creation of the paper's data set, which is not public. Under each prediction: rectangles right."
)


def narrow(out: Path, scale: Scale) -> list[Check]:
    """Draw narrow.png, .pdf, .csv; the checks are the theorem's bounds, and SING's deafness to clipping."""
    steps = scale.of(STEPS)
    rates = pd.concat([escapes(depth) for depth in DEPTHS])
    changes = clipping(load(scale.dataset(SETS)), steps)
    with style.figure(2, 1, 4, 3.2) as (made, ((left, right),)):
        for method, name in LOOKS.items():
            rows = rates[rates.method == method]
            left.plot(rows.depth, rows.rate / RADIUS, label=method, **style.look(name))
            left.plot(rows.depth, rows.bound / RADIUS, color="0.6", linestyle=":")
        left.set(xscale="log", yscale="log", xlabel="blocks D", ylabel="rate needed / r")
        left.set_title("leaving a narrow minimum (dotted: Theorem 3.1)")
        left.legend(loc="lower left", fontsize=6)
        for method, *_ in TRAINED:
            rows = changes[changes.method == method]
            right.plot(rows.clipped_at, rows.change.clip(lower=1e-17), label=method, **style.look(method.lower()))
        right.set(xscale="log", yscale="log", xlabel="clipped at norm", ylabel="change of weights", title="clipping")
        right.legend()
        note = NOTE.format(steps=steps, data=scale.dataset(SETS)["name"])
        style.save(made, out / "narrow", pd.concat([rates, changes]), note)
    worst = (rates.rate / rates.bound - 1).abs().max()
    return [
        Check("rate needed / bound of Theorem 3.1, farthest from 1", 1, 1 + worst),
        Check(
            "1 + change of SING by clipping (Appendix D.1)", 1, 1 + changes[changes.method == "SING"].change.max(), 1e-4
        ),
    ]


def escapes(depth: int) -> pd.DataFrame:
    """Return rows of (method, depth, rate, bound) for the rim of the basin, in a random direction."""
    start = torch.randn(depth, WIDTH, generator=torch.Generator().manual_seed(depth), dtype=torch.double)
    start *= RADIUS / start.norm()
    one = start.reshape(1, -1)  # normalised GD is SING with everything in one block
    balanced = start * (RADIUS / depth**0.5) / start.norm(dim=1, keepdim=True)  # parallel to SING's step
    rows = [(name, depth, smallest(start, k, torch.optim.SGD), 2 / k) for name, k in CURVATURES.items()]
    rows += [("normalised GD", depth, smallest(one, 1.0, normalised), 2 * RADIUS)]
    rows += [("SING", depth, smallest(balanced, 1.0, normalised), 2 * RADIUS / depth**0.5)]
    return pd.DataFrame(rows, columns=["method", "depth", "rate", "bound"])


def smallest(blocks: Tensor, curvature: float, make: Make) -> float:
    """Return the smallest rate at which one real step from `blocks` ends outside the basin, by bisection."""
    low, high = 0.0, 100.0
    for _ in range(40):
        middle = (low + high) / 2
        params = [nn.Parameter(block.clone()) for block in blocks]
        for p in params:
            p.grad = curvature * p.detach()
        make(params, lr=middle).step()
        outside = torch.cat([p.detach() for p in params]).norm() > RADIUS
        low, high = (low, middle) if outside else (middle, high)
    return high


def normalised(params: list[nn.Parameter], lr: float) -> optim.Chain:
    """x <- x - lr phi(g) / Gamma(phi(g)), Eq. 2 of SING, without a base."""
    return optim.Chain(params, (centralize(), normalize(0.0)), lr=lr)


def clipping(images: Dataset, steps: int) -> pd.DataFrame:
    """Return rows of (method, clipped_at, change): trained weights against those without clipping."""
    rows = []
    for method, target, lr in TRAINED:
        plain, *clipped = (trained(images, steps, target, lr, clip) for clip in (torch.inf, *CLIPS))
        changes = [((weights - plain).abs().max() / plain.abs().max()).item() for weights in clipped]
        rows += [(method, clip, change) for clip, change in zip(CLIPS, changes, strict=True)]
    return pd.DataFrame(rows, columns=["method", "clipped_at", "change"])


def trained(images: Dataset, steps: int, target: Make, lr: float, clip: float) -> Tensor:
    """Return the weights after `steps` steps, each tensor's gradient clipped to norm `clip`."""
    model = float64_net(images.in_channels * images.image_size**2, images.num_classes)

    def shorten(p: Tensor) -> None:
        nn.utils.clip_grad_norm_(p, clip)

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(shorten)
    fit(model, target(model.parameters(), lr=lr), images, steps, {})
    return nn.utils.parameters_to_vector(model.parameters()).detach()


def rde_sheet(out: Path, scale: Scale) -> list[Check]:
    """Draw rde_sheet.*: the first test samples, their targets, and what each run's net predicts; no checks.

    The samples are of the first run's data set, or the scale's. Raises UsageError for a run that cannot be shown.
    """
    with one_line(unless=False):
        chosen = [finished(folder, scale.trust)["config"]["data"] for folder in scale.runs[:1]]
    options = chosen[0] if chosen else raw("data", scale.of(SHEET_SETS))
    few = dict.fromkeys(("train", "validation", "test"), COLUMNS)  # a sample is the same in any number
    samples = load(options | few | {"synthetic": 0})
    images, targets = (tensor.cpu() for tensor in next(samples.test.batches([torch.arange(COLUMNS)])))
    rows: dict[str, Tensor] = {"image": images.permute(0, 2, 3, 1), "target": targets[:, 1]}
    with one_line(unless=False):
        nets = {f"{run.parent.name} {run.name[:7]}": trained_net(run, samples, scale.trust) for run in scale.runs}
        rows |= {name: predicted(net, images) for name, net in nets.items()}
    scores = []
    with style.figure(COLUMNS, len(rows), 1.1, 1.25) as (made, axes):
        for line, (name, pictures) in zip(axes, rows.items(), strict=True):
            line[0].set_ylabel(name.replace(" ", "\n"))
            for number, (panel, picture) in enumerate(zip(line, pictures, strict=True)):
                panel.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                panel.set(xticks=[], yticks=[])
                if name not in ("image", "target"):
                    task = Depth(samples.num_classes)
                    meter = task.meter()
                    task.count(picture[None, None], targets[number][None], meter)
                    scores.append({"run": name, "sample": number, **meter.result()})
                    panel.set_xlabel(f"{scores[-1]['rectangle_accuracy']:.0f} %")
        table = pd.DataFrame(scores, columns=["run", "sample", "mse", "rectangle_accuracy"])
        style.save(made, out / "rde_sheet", table, SHEET_NOTE)
    return []


@torch.no_grad()
def predicted(net: nn.Module, images: Tensor) -> Tensor:
    """Return what a net makes of images [n, c, h, w]: depths [n, h, w]."""
    depths: Tensor = net(images)[:, 0]
    return depths
