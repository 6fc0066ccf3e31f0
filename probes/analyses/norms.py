"""AdamP, Table 1 and Appendix F: weight norm and effective step over training, under weight decays."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt

from probes.analyses.draw import Check, save
from probes.analyses.loop import long
from probes.analyses.runs import run as trained
from probes.analyses.scale import Scale

SETS, NETS = {"cpu": "digits", "paper": "imagenet"}, {"cpu": "resnet20", "paper": "resnet18_imagenet"}
WORDS = {"cpu": ["budget.epochs=6", "schedule=cosine"], "paper": ["protocol=adamp_imagenet"]}
EVERY = {"cpu": 4, "paper": 500, "smoke": 1}
SGD, ADAM = ["optimizer.lr=0.1", "optimizer.momentum=0.9"], ["optimizer.lr=1e-3"]
# Decay in each optimizer's own convention. cpu: decays so strong that they act within a few epochs.
PAIRS = {"sgd": (SGD, 1), "sgdp": (SGD, 1), "adamw": (ADAM, 1000), "adamp": (ADAM, 1000)}
DECAYS = {"cpu": (0.0, 1e-4, 1e-3, 1e-2), "paper": (0.0, 1e-6, 1e-5, 1e-4), "smoke": (0.0,)}
NOTE = (
    "{net}, {words}. Means over the scale-invariant weights: ||w||, and the step on the sphere (Eq. 5). Legend: decay; "
    "norm at the end of the first and of the last epoch; test accuracy, as in Table 1. Paper: ResNet18 on ImageNet, "
    "100 epochs. Decay d is d for SGD and SGDP, 1000 d for AdamW and AdamP: lr 1e-3."
)


def run(out: Path, scale: Scale) -> list[Check]:
    """Draw norms.png, .pdf, .csv; the checks: without decay, projection lets the norm grow less (Section 3.2)."""
    net, words = scale.of(NETS), scale.words(SETS, WORDS)
    chosen = [*words, f"model={net}", *(f"probe.{name}.every={scale.of(EVERY)}" for name in ("norms", "spherical"))]
    table = pd.concat([one(chosen, name, decay) for name in PAIRS for decay in scale.of(DECAYS)])
    figure, axes = plt.subplots(2, 4, figsize=(11, 4.6), sharex=True)
    for column, name in enumerate(PAIRS):
        for decay, rows in table[table.optimizer == name].groupby("decay"):
            first, last = rows[rows.epoch == 0].norm.iloc[-1], rows.norm.iloc[-1]
            label = f"{decay:g}: {first:.2f}, {last:.2f}; {rows.top1.iloc[0]:.1f} %"
            axes[0, column].plot(rows.step, rows.norm, label=label)
            axes[1, column].plot(rows.step, rows.effective_step, label=label)
        axes[0, column].set(title=name, ylim=(0, 1.05 * table.norm.max()))
        axes[1, column].set(yscale="log", xlabel="step")
        axes[0, column].legend(fontsize=6)
    axes[0, 0].set_ylabel("norm"), axes[1, 0].set_ylabel("effective step")
    save(figure, out, "norms", table, NOTE.format(net=net, words=" ".join(words)))
    ends = table[table.decay == 0].groupby("optimizer").norm.agg(lambda rows: rows.iloc[-1] - rows.iloc[0])
    return [
        Check("norm growth of SGD over SGDP, no decay", 1, ends["sgd"] / ends["sgdp"], at_least=True),
        Check("norm growth of Adam over AdamP, no decay", 1, ends["adamw"] / ends["adamp"], at_least=True),
    ]


def one(words: list[str], name: str, decay: float) -> pd.DataFrame:
    """Return norm and effective step of one training, means over the scale-invariant weights."""
    options, factor = PAIRS[name]
    chosen = ["probe=norms,spherical", f"optimizer={name}", *options, f"optimizer.weight_decay={decay * factor:g}"]
    result = trained([*words, *chosen])
    spherical, layers = long(result.probes["spherical"]), long(result.probes["norms"])
    kept = layers[layers.layer.isin(spherical.dropna(subset="radius").layer)]
    means = kept.groupby(["step", "epoch"])[["norm", "effective_step"]].mean().reset_index()
    return means.assign(optimizer=name, decay=decay, top1=result.metrics["test_top1"])
