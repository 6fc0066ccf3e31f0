"""AdamP on scale-invariant weights: Section C and Table B.1, Table 1 and Appendix F, Corollary 2.3."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

import optim.invariance
from data.dataset import Dataset
from reports import style
from reports.analyses.command import Check, Scale
from reports.analyses.training import fit, load, long, network, train

NETS = {"cpu": "resnet20", "paper": "resnet18_imagenet"}
SGD, ADAM = ["optimizer.lr=0.1", "optimizer.momentum=0.9"], ["optimizer.lr=1e-3"]

SETS = {"cpu": "fashion_mnist", "paper": "imagenet"}
STEPS = {"cpu": 60, "paper": 2000, "smoke": 2}
DELTAS = (0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)
TRAINED_DELTAS = {"paper": (0.01, 0.05, 0.1, 0.2, 1.0), "smoke": (0.1,)}  # Table B.1; trained as Table 1
SEEDS = {"cpu": (0, 1), "paper": (0, 1, 2), "smoke": (0,)}
NOTE = (
    "{net} on {data}, {steps} steps of SGD with momentum. Others: the classifier, and scales and shifts of norms, "
    "which AdamP does not test. Paper: ResNet18 on ImageNet, 99 % intervals [5.5e-10, 4.4e-6] and [0.0028, 0.566]."
)
NOTE_B1 = (
    "Table B.1. Left: share of matrices over all steps of {net} on {data} for which the test (by filter, then whole) "
    "agrees with the module graph. Right: AdamP trained with that delta, {words}; the paper's values of delta could "
    "not be read, these are ours. {seeds} seeds each."
)

# norms
NORMS_SETS = {"cpu": "digits", "paper": "imagenet"}
# tuned=adamp: Nesterov's momentum for SGD and SGDP, and AdamP's decay, which Table B.1 keeps.
WORDS = {"cpu": ["budget.epochs=6", "schedule=cosine"], "paper": ["protocol=adamp_imagenet", "tuned=adamp"]}
EVERY = {"cpu": 4, "paper": 500, "smoke": 1}
# Decay in each optimizer's own convention. cpu: decays so strong that they act within a few epochs.
PAIRS = {
    **dict.fromkeys(("sgd", "sgdp"), (SGD, 1)),
    **{name: ([*ADAM, "optimizer.decay=decoupled"], 1000) for name in ("adamw", "adamp")},
}
DECAYS = {"cpu": (0.0, 1e-4, 1e-3, 1e-2), "paper": (0.0, 1e-6, 1e-5, 1e-4), "smoke": (0.0,)}
HIGH = {"cpu": (1e-2, 3e-2, 1e-1), "paper": (1e-4, 1e-3, 1e-2), "smoke": (0.0,)}  # the paper's could not be read
NORMS_NOTE = (
    "{net}, {words}. Means over the scale-invariant weights: ||w||, and the step on the sphere (Eq. 5). Legend: decay; "
    "norm at the end of the first and of the last epoch; test accuracy, as in Table 1. Paper: ResNet18 on ImageNet, "
    "100 epochs. Decay d is d for SGD and SGDP, 1000 d for AdamW and AdamP: lr 1e-3."
)

# growth
BETAS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)
GROWTH_SETS = {"cpu": "digits", "paper": "cifar10"}
GROWTH_STEPS, RATE = {"paper": 1500, "smoke": 2}, 0.02
GROWTH_NOTE = (
    "The paper gives no experiment for this. Here: {data}, two hidden layers with batch norm, float64, rate {rate}, "
    "{steps} steps. Measured: growth of ||w||^2 over the sum of ||steps||^2, as the corollary assumes equal "
    "update norms. Dashed: against a separate run without momentum, whose updates are not equal."
)


def detection(out: Path, scale: Scale) -> list[Check]:
    """Draw detection.* (cosines) and delta.* (Table B.1); the check is perfect detection at the paper's delta, 0.1."""
    about = {"net": scale.of(NETS), "data": scale.dataset(SETS)["name"], "steps": scale.of(STEPS)}
    table = cosines(scale)
    with style.figure(1, 1, 5, 3.2) as (made, ((axis,),)):
        for label, values in (("scale-invariant", table[table.invariant]), ("others", table[~table.invariant])):
            shown = values.cosine[values.cosine > 0]
            low, high = np.quantile(shown, [0.005, 0.995])
            axis.hist(shown, bins=np.logspace(-12, 0, 61), alpha=0.7, label=f"{label}, 99 %: {low:.1e} to {high:.1e}")
        axis.set(xscale="log", xlabel="|cos(w, gradient)|", ylabel="tensors x steps", title="AdamP, Section C")
        axis.legend(loc="upper left")
        style.save(made, out / "detection", table, NOTE.format(**about))
    told = shares(table[table.matrix])
    words, seeds = scale.words(NORMS_SETS, WORDS), scale.of(SEEDS)
    scores = accuracies([*words, f"model={about['net']}"], scale.of(TRAINED_DELTAS), seeds)
    draw(out, told, scores, NOTE_B1.format(**about, words=" ".join(words), seeds=len(seeds)))
    at = told[told.delta == 0.1]
    return [
        Check("scale-invariant told at delta 0.1 (Section C)", 1, at.invariant.item()),
        Check("others told at delta 0.1", 1, at.others.item()),
    ]


def cosines(scale: Scale) -> pd.DataFrame:
    """Return the cosine probe's rows of a training, with what the module graph says: invariant, matrix."""
    images = load(scale.dataset(SETS))
    model = network(scale.of(NETS), images)
    invariant = optim.invariance.scale_invariant(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    table = long(fit(model, optimizer, images, scale.of(STEPS), {"cosine": {"every": 1}}), "cosine")
    matrices = [name for name, p in model.named_parameters() if p.ndim > 1]
    return table.assign(invariant=table.layer.isin(invariant), matrix=table.layer.isin(matrices))


def shares(matrices: pd.DataFrame) -> pd.DataFrame:
    """Return the shares told right of the invariant matrices and of the others, by delta."""
    lowest = np.minimum(matrices.channel, matrices.whole)
    kinds = {"invariant": matrices.invariant, "others": ~matrices.invariant}
    rows = [{name: ((lowest < d) == matrices.invariant)[of].mean() for name, of in kinds.items()} for d in DELTAS]
    return pd.DataFrame(rows).assign(delta=DELTAS)


def accuracies(words: list[str], deltas: tuple[float, ...], seeds: tuple[int, ...]) -> pd.DataFrame:
    """Return the test accuracy of AdamP for each delta and seed."""
    rows = []
    for delta, seed in itertools.product(deltas, seeds):
        more = ["optimizer=adamp", *ADAM, f"optimizer.delta={delta:g}", f"seed={seed}"]
        rows.append({"delta": delta, "seed": seed, "test_top1": train([*words, *more]).metrics["test_top1"]})
    return pd.DataFrame(rows)


def draw(out: Path, told: pd.DataFrame, scores: pd.DataFrame, note: str) -> None:
    """Draw delta.*: what the test tells right, and the accuracies, over delta."""
    with style.figure(2, 1, 4, 3.2) as (made, ((left, right),)):
        told.plot(
            x="delta", y=["invariant", "others"], ax=left, marker=".", logx=True, ylabel="told right", ylim=(0, 1.05)
        )
        right.plot(scores.delta, scores.test_top1, ".")
        right.plot(scores.groupby("delta").test_top1.mean(), label="mean")
        right.set(xscale="log", xlabel="delta", ylabel="test accuracy of AdamP (%)")
        right.legend()
        style.save(made, out / "delta", told.merge(scores, on="delta", how="outer"), note)


def norms(out: Path, scale: Scale) -> list[Check]:
    """Draw norms.* and norms_high.* (Figures F.5, F.6); the checks: without decay, projected norms grow less (3.2)."""
    net, words = scale.of(NETS), scale.words(NORMS_SETS, WORDS)
    chosen = [*words, f"model={net}", *(f"probe.{name}.every={scale.of(EVERY)}" for name in ("norms", "spherical"))]
    note = NORMS_NOTE.format(net=net, words=" ".join(words))
    made = {"norms": scale.of(DECAYS), "norms_high": scale.of(HIGH)}
    tables = {name: pd.concat([one(chosen, who, d) for who in PAIRS for d in decays]) for name, decays in made.items()}
    for name, table in tables.items():
        draw_norms(out / name, table, note)
    plain = tables["norms"][tables["norms"].decay == 0]
    ends = plain.groupby("optimizer").norm.agg(lambda rows: rows.iloc[-1] - rows.iloc[0])
    return [
        Check("norm growth of SGD over SGDP, no decay", 1, ends["sgd"] / ends["sgdp"], at_least=True),
        Check("norm growth of Adam over AdamP, no decay", 1, ends["adamw"] / ends["adamp"], at_least=True),
    ]


def draw_norms(path: Path, table: pd.DataFrame, note: str) -> None:
    """Draw norm and effective step over the steps, a column an optimizer, a line a decay."""
    with style.figure(4, 2, 2.75, 2.3, sharex=True) as (made, axes):
        for column, name in zip(axes.T, PAIRS, strict=True):
            for decay, rows in table[table.optimizer == name].groupby("decay"):
                first, last = rows[rows.epoch == 0].norm.iloc[-1], rows.norm.iloc[-1]
                label = f"{decay:g}: {first:.2f}, {last:.2f}; {rows.top1.iloc[0]:.1f} %"
                column[0].plot(rows.step, rows.norm, label=label)
                column[1].plot(rows.step, rows.effective_step, label=label)
            column[0].set(title=name, ylim=(0, 1.05 * table.norm.max()))
            column[1].set(yscale="log", xlabel="step")
            column[0].legend(fontsize=6)
        axes[0, 0].set_ylabel("norm")
        axes[1, 0].set_ylabel("effective step")
        style.save(made, path, table, note)


def one(words: list[str], name: str, decay: float) -> pd.DataFrame:
    """Return norm and effective step of one training, means over the scale-invariant weights."""
    options, factor = PAIRS[name]
    chosen = ["probe=norms,spherical", f"optimizer={name}", *options, f"optimizer.weight_decay={decay * factor:g}"]
    result = train([*words, *chosen])
    spherical, layers = long(result.rows, "spherical"), long(result.rows, "norms")
    kept = layers[layers.layer.isin(spherical.dropna(subset="radius").layer)]
    means = kept.groupby(["step", "epoch"])[["norm", "effective_step"]].mean().reset_index()
    return means.assign(optimizer=name, decay=decay, top1=result.metrics["test_top1"])


def growth(out: Path, scale: Scale) -> list[Check]:
    """Draw growth.png, .pdf, .csv; the checks are the ratios 1 + 2 beta / (1 - beta), within 5 %."""
    images, steps = load(scale.dataset(GROWTH_SETS)), scale.of(GROWTH_STEPS)
    data = pd.concat([measured(images, beta, steps) for beta in BETAS])
    data["separate"] = data.growth / data.layer.map(data[data.beta == 0].set_index("layer").growth)
    with style.figure(1, 1, 5, 3.4) as (made, ((axis,),)):
        theory = data.groupby("beta").theory.first()
        axis.plot(theory.index, theory, label="1 + 2 beta / (1 - beta)", color="0.6", linewidth=4)
        for (layer, rows), marker, colour in zip(data.groupby("layer"), "ox", style.HUES.values(), strict=False):
            axis.plot(rows.beta, rows.ratio, marker, color=colour, label=f"measured, layer {layer}")
            axis.plot(rows.beta, rows.separate, "--", color=colour, label=f"separate runs, layer {layer}")
        axis.set(yscale="log", xlabel="momentum beta", ylabel="ratio of norm growth", title="AdamP, Corollary 2.3")
        axis.legend()
        note = GROWTH_NOTE.format(data=scale.dataset(GROWTH_SETS)["name"], rate=RATE, steps=steps)
        style.save(made, out / "growth", data, note)
    means = data.groupby("beta")[["theory", "ratio"]].mean()
    return [Check(f"ratio of growth, beta {beta}", row.theory, row.ratio, 0.05) for beta, row in means.iterrows()]


def measured(images: Dataset, beta: float, steps: int) -> pd.DataFrame:
    """Return growth and ratio of the two invariant weights, one row each."""
    model = float64_net(images.in_channels * images.image_size**2, images.num_classes)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=beta)
    options = {"norms": {"every": 1, "layers": ["1.weight", "4.weight"]}}
    table = long(fit(model, optimizer, images, steps, options), "norms")
    table["squares"] = table.step_length**2
    sums = table.groupby("layer")[["growth", "squares"]].sum().reset_index()
    return sums.assign(beta=beta, theory=1 + 2 * beta / (1 - beta), ratio=sums.growth / sums.squares)


def float64_net(pixels: int, classes: int) -> nn.Module:
    """Return two hidden layers before batch norms, in float64, where the gradient is orthogonal to rounding."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = [nn.Flatten(), nn.Linear(pixels, 32, bias=False), nn.BatchNorm1d(32, eps=1e-30), nn.ReLU()]
        second = [nn.Linear(32, 32, bias=False), nn.BatchNorm1d(32, eps=1e-30), nn.ReLU()]
        return nn.Sequential(*first, *second, nn.Linear(32, classes)).double()
