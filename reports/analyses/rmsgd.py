"""RMSGD, Figures 1b, 3, 5, 6 and 2: structure of the layers over training, and how Q goes with generalisation."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from scipy import stats

from conf.errors import UsageError
from reports import style
from reports.analyses.command import Check, Scale
from reports.analyses.training import Run, long, made, scalars, train

SETS = {"cpu": "digits", "paper": "cifar10"}
BOTH = ["cifar10", "cifar100"]
ALL_SETS = {"cpu": ["digits"], "paper": BOTH, "smoke": BOTH[:1]}  # of Figure 2a
RESNETS = ["resnet18", "resnet34", "resnet50", "resnet101"]
NETS = {"cpu": ["resnet20", "shufflenetv2"], "paper": RESNETS, "smoke": RESNETS[:1]}
LAYERS_OF = {"cpu": ["model=resnet20"], "paper": ["model=resnet50", "budget.epochs=140"]}  # Figure 3
BETAS_OF = {"cpu": [("digits", "resnet20")], "paper": [("cifar10", "resnet34"), *((data, "vgg16_bn") for data in BOTH)]}
# Layers need epochs to grow a structure; Figure 2a needs many trainings. Paper: the values of Table 5 and E.2.1.
LONG = {"cpu": ["budget.epochs=30", "schedule=cosine"], "paper": ["protocol=rmsgd_cifar", "tuned=rmsgd"]}
SHORT = {"cpu": ["budget.epochs=6", "schedule=cosine"], "paper": LONG["paper"]}
HEAVY = ["optimizer.momentum=0.9", "optimizer.weight_decay=5e-4"]
OWN = {
    "sgd": ["optimizer.lr=0.1", *HEAVY],
    "adam": ["optimizer.lr=1e-3"],
    "adabelief": ["optimizer.lr=1e-3"],
    "adamp": ["optimizer.lr=1e-3"],
    "rmsgd": ["optimizer.lr=0.03", "optimizer.weight_decay=5e-4", "schedule=constant"],
}
NINE = ("adabound", "adagrad", "adam", "adamp", "sam", "sls", "sgd", "sgdp", "rmsgd")  # Section D
TUNED: dict[str, list[str]] = {name: [] for name in NINE}
OPTIMIZERS = {"cpu": OWN, "paper": TUNED, "smoke": {name: TUNED[name] for name in ("sgd", "adam", "sam", "rmsgd")}}
DRAWN = ("sgd", "adam", "rmsgd")
BETAS, SEEDS = {"paper": (0.8, 0.9, 0.98), "smoke": (0.98,)}, {"paper": (0, 1, 2), "smoke": (0,)}
VALUES = {"stable_rank": "stable rank s (Eq. 2)", "condition": "condition (Eq. 3)", "quality": "quality q (Eq. 4)"}
EARLY = 12 / 90  # share of the training at which Figure 2b looks first
NOTE = "{words}. Paper: ResNets on CIFAR, hundreds of epochs."
BETA_NOTE = "The paper's values of beta are in its figures only; these are ours. "


def quality(out: Path, scale: Scale) -> list[Check]:
    """Draw quality.* (layers x epochs), rates.*, beta.* and generalisation.* (Figure 2a); no checks."""
    words = [*scale.words(SETS, LONG), *scale.of(LAYERS_OF)]
    tables = {name: long(one(scale, words, name).rows, "ranks") for name in DRAWN}
    note = NOTE.format(words=" ".join(words))
    layers(out, tables, note)
    rates(out, tables, note)
    beta(out, scale)
    places = itertools.product(scale.of(ALL_SETS), scale.of(NETS), scale.of(OPTIMIZERS), scale.of(SEEDS))
    points = pd.DataFrame([summary(scale, *place) for place in places])
    generalisation(out, points, NOTE.format(words=" ".join(scale.of(SHORT))))
    return []


def one(scale: Scale, words: list[str], name: str, *more: str) -> Run:
    """Train by the words of a command line with an optimizer, as the scale has it."""
    return train([*words, f"optimizer={name}", *scale.of(OPTIMIZERS)[name], *more, "probe=ranks"])


def layers(out: Path, tables: dict[str, pd.DataFrame], note: str) -> None:
    """Draw each value as layers over epochs, a column an optimizer, and its means over layers with structure."""
    with style.figure(len(tables) + 1, len(VALUES), 3, 6.5 / 3) as (made, axes):
        for row, (value, title) in zip(axes, VALUES.items(), strict=True):
            top = max(table[value].quantile(0.99) for table in tables.values())
            for axis, (name, table) in zip(row, tables.items(), strict=False):
                order = list(dict.fromkeys(table.layer))
                image = table.pivot(index="layer", columns="epoch", values=value).loc[order]
                extent = (0.5, image.shape[1] + 0.5, len(order) + 0.5, 0.5)
                shown = axis.imshow(image, aspect="auto", cmap="cividis", vmin=0, vmax=top, extent=extent)
                axis.grid(visible=False)
                axis.set(title=f"{title}, {name}", xlabel="epoch", ylabel="layer")
                made.colorbar(shown, ax=axis, use_gridspec=False)
                mean = structured(table).groupby("epoch")[value].mean()
                row[-1].plot(mean, label=name, **style.look(name, len(mean)))
            row[-1].set(title=f"mean {title}", xlabel="epoch")
        axes[0, -1].set_ylim(top=1.35 * axes[0, -1].get_ylim()[1])
        axes[0, -1].legend(ncols=len(tables), loc="upper center", fontsize=6, handlelength=2)
        data = pd.concat([table.assign(optimizer=name) for name, table in tables.items()])
        style.save(made, out / "quality", data, note)


def structured(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of layers in which EVBMF finds structure; the others have no condition and no quality."""
    return table[table["rank"] > 0]


def rates(out: Path, tables: dict[str, pd.DataFrame], note: str) -> None:
    """Draw RMSGD's rates by layer (darker: deeper, Figure 5), and the means of all optimizers (3)."""
    lines = tables["rmsgd"].pivot(index="epoch", columns="layer", values="rate")
    order = list(dict.fromkeys(tables["rmsgd"].layer))
    with style.figure(2, 1, 3.6, 2.8) as (made, ((by_layer, mean),)):
        for depth, layer in enumerate(order):
            by_layer.plot(lines[layer], color=colormaps["Blues"](0.25 + 0.75 * depth / len(order)), linestyle="-")
        for name, table in tables.items():
            rate = table.groupby("epoch").rate.mean()
            mean.plot(rate, label=name, **style.look(name, len(rate)))
        by_layer.set(title="RMSGD's rates by layer (darker: deeper)", xlabel="epoch")
        mean.set(title="mean rate", xlabel="epoch", yscale="log", ylim=(1e-5, None))  # schedules end at 0
        mean.legend()
        style.save(made, out / "rates", pd.concat([t.assign(optimizer=name) for name, t in tables.items()]), note)


def beta(out: Path, scale: Scale) -> None:
    """Draw what beta does to the stable rank and the test error of RMSGD, a row a net (Figures 3, 6)."""
    ablation, places = [], scale.of(BETAS_OF)
    with style.figure(2, len(places), 3.6, 2.6) as (made, axes):
        for (rank, error), (data, net) in zip(axes, places, strict=True):
            words = [*scale.words({"paper": data}, LONG), f"model={net}"]
            for value in scale.of(BETAS):
                run = one(scale, words, "rmsgd", f"optimizer.beta={value}")
                rows = scalars(run.rows, "ranks").assign(test_error=100 - run.epochs.test_top1.to_numpy())
                ablation.append(rows.assign(data=data, net=net, beta=value))
                rank.plot(rows.epoch, rows.mean_stable_rank)
                error.plot(rows.epoch, rows.test_error, label=f"beta {value}")
            rank.set(title=f"mean stable rank s of RMSGD, {net}, {data}", xlabel="epoch")
            error.set(title=f"test error (%), {net}, {data}", xlabel="epoch", yscale="log")
            error.legend()
        style.save(made, out / "beta", pd.concat(ablation), BETA_NOTE + " ".join(scale.of(LONG)))


def generalisation(out: Path, table: pd.DataFrame, note: str) -> None:
    """Draw Q of the last epoch against test accuracy and against the gap between training and test accuracy.

    A net without structure in any layer has no Q: it is in the data and not in the figure.
    """
    drawn = table.dropna(subset="Q")
    markers = dict(zip(drawn.net.unique(), "o^sDvPX*", strict=False))
    with style.figure(2, 1, 4.5, 3.4) as (made, axes):
        for axis, value in zip(axes[0], ("test_accuracy", "gap"), strict=True):
            for (net, name), rows in drawn.groupby(["net", "optimizer"], sort=False):
                colour = style.look(str(name))["color"]
                axis.scatter(rows.Q, rows[value], 20, colour, marker=markers[net])
            axis.set(xlabel="Q", ylabel=value.replace("_", " ") + " (%)", title=correlations(drawn.Q, drawn[value]))
        for net, marker in markers.items():  # a form a net, a colour an optimizer: all pairs would be 72
            axes[0, 0].scatter([], [], 20, "0.4", marker=marker, label=net)
        for name in drawn.optimizer.unique():
            axes[0, 0].scatter([], [], 20, style.look(str(name))["color"], label=name)
        made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=6)
        style.save(made, out / "generalisation", table, note)


def nats(out: Path, scale: Scale) -> list[Check]:
    """Draw nats.*: Q against test accuracy, early and at the end, a point a run of --run (Figure 2b); no checks.

    --run also takes a folder of runs, of table rmsgd_nats. Raises UsageError where none is named or one has no Q.
    """
    folders = [found.parent for folder in scale.runs for found in sorted(folder.rglob("result.json"))]
    if not folders:
        raise UsageError("nats: name runs of table rmsgd_nats, e.g. --run runs/cifar10/nats")
    points = pd.concat([looks(folder) for folder in folders])
    with style.figure(2, 1, 4.5, 3.4) as (drawn, ((first, last),)):
        for axis, (when, rows) in zip((first, last), points.groupby("when", sort=False), strict=True):
            rows = rows.dropna(subset="Q")
            axis.scatter(rows.Q, rows.test_accuracy, 16)
            axis.set(xlabel="Q", ylabel="test accuracy (%)")
            axis.set_title(f"{when} epoch {rows.epoch.iloc[0]:.0f}: {correlations(rows.Q, rows.test_accuracy)}")
        style.save(drawn, out / "nats", points, f"{len(folders)} runs. A net without structure has no Q.")
    return []


def looks(folder: Path) -> pd.DataFrame:
    """Return Q and test accuracy of a run after two epochs: early in its training, and the last."""
    run = made(folder)
    found = scalars(run.rows, "ranks")
    if "Q" not in found or "test_top1" not in run.epochs:
        raise UsageError(f"{folder}: needs probe=ranks and evaluate.test=every")
    epochs = [max(1, round(EARLY * len(run.epochs))), len(run.epochs)]
    if not set(epochs) <= set(found.epoch):
        raise UsageError(f"{folder}: needs probe=ranks at epochs {epochs[0]} and {epochs[1]}")
    quality, accuracy = (rows.set_index("epoch").loc[epochs] for rows in (found, run.epochs))
    shown = {"run": folder.name, "when": ["early", "last"], "epoch": epochs}
    return pd.DataFrame(shown | {"Q": quality.Q.to_numpy(), "test_accuracy": accuracy.test_top1.to_numpy()})


def summary(scale: Scale, data: str, net: str, name: str, seed: int) -> dict[str, object]:
    """Return Q of the last epoch, test accuracy and gap of one training."""
    run = one(scale, [*scale.words({"paper": data}, SHORT), f"model={net}"], name, f"seed={seed}")
    last = run.epochs.iloc[-1]
    found = {"Q": scalars(run.rows, "ranks").Q.iloc[-1], "test_accuracy": last.test_top1}
    where = net if data == scale.of(SETS) else f"{net}, {data}"
    return {"net": where, "optimizer": name, "seed": seed, **found, "gap": last.train_top1 - last.test_top1}


def correlations(x: pd.Series, y: pd.Series, draws: int = 2000) -> str:
    """Return Pearson's r with its 95 % interval (Fisher) and Spearman's with its (bootstrap), as text.

    Of fewer than 4 points, which have no interval, only how many they are.
    """
    if len(x) < 4:
        return f"n {len(x)}"
    pearson = stats.pearsonr(x, y)
    low, high = pearson.confidence_interval()
    picks = np.random.default_rng(0).integers(0, len(x), (draws, len(x)))
    ranks = [x.iloc[pick].rank().corr(y.iloc[pick].rank()) for pick in picks if x.iloc[pick].nunique() > 1]
    below, above = np.nanquantile(ranks, [0.025, 0.975])
    rho = stats.spearmanr(x, y).statistic
    first = f"Pearson {pearson.statistic:.2f} [{low:.2f}, {high:.2f}]"
    return f"{first}\nrank {rho:.2f} [{below:.2f}, {above:.2f}], n {len(x)}"
