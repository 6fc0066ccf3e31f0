"""AdamP, Table 1 and Appendix F: weight norm and effective step over training, under weight decays."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt

from probes.analyses.draw import Check, save
from probes.analyses.runs import SCALES
from probes.analyses.runs import run as trained

SGD, ADAM = ["optimizer.lr=0.1", "optimizer.momentum=0.9"], ["optimizer.lr=1e-3"]
# Decay in each optimizer's own convention. cpu: decays so strong that they act within a few epochs.
PAIRS = {"sgd": (SGD, 1), "sgdp": (SGD, 1), "adamw": (ADAM, 1000), "adamp": (ADAM, 1000)}
DECAYS = {"cpu": (0.0, 1e-4, 1e-3, 1e-2), "paper": (0.0, 1e-6, 1e-5, 1e-4)}
NOTE = (
    "{net}, {words}. Means over the scale-invariant weights: ||w||, and the step on the sphere (Eq. 5). Paper: ResNet18"
    " on ImageNet, 100 epochs. Decay d is d for SGD and SGDP, 1000 d for AdamW and AdamP: lr 1e-3."
)


def run(out: Path, scale: str) -> list[Check]:
    """Draw norms.png, .pdf, .csv; the checks: without decay, projection lets the norm grow less (Section 3.2)."""
    net, words = SCALES[scale]["nets"][0], SCALES[scale]["words"]
    table = pd.concat([one(net, words, name, decay) for name in PAIRS for decay in DECAYS[scale]])
    figure, axes = plt.subplots(2, 4, figsize=(11, 4.6), sharex=True)
    for column, name in enumerate(PAIRS):
        for decay, rows in table[table.optimizer == name].groupby("decay"):
            label = f"decay {decay:g}: {rows.top1.iloc[0]:.1f} %"
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


def one(net: str, words: list[str], name: str, decay: float) -> pd.DataFrame:
    """Return norm and effective step of one training, means over the scale-invariant weights."""
    options, factor = PAIRS[name]
    probes = ["probe=norms,spherical", "probe.norms.every=4", "probe.spherical.every=4"]
    chosen = [f"model={net}", f"optimizer={name}", *options, f"optimizer.weight_decay={decay * factor:g}"]
    result = trained([*words, *chosen, *probes])
    invariant = result.layers("spherical").dropna(subset="radius").layer.unique()
    layers = result.layers("norms")
    means = layers[layers.layer.isin(invariant)].groupby("step")[["norm", "effective_step"]].mean().reset_index()
    return means.assign(optimizer=name, decay=decay, top1=result.metrics["test_top1"])
