"""Trainings for the analyses: a bare loop with probes, and runs of train.py, started where they are not there yet."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

import data
import models
import probes
from conf import grammar
from conf.cli import one_line
from conf.errors import UsageError
from conf.groups import raw
from conf.trust import require_trust
from data.dataset import Dataset, Place
from probes import Row
from record.checkpoint import load_plain
from record.files import open_regular
from record.lines import read_lines
from record.read import read_result
from record.schema import Result
from training.runtime import pick_device

PLACES = (("STEPBENCH_DATA", "datasets"), ("STEPBENCH_CACHE", "datasets/cache"))  # as conf/paths has them
BATCH = 128


def load(options: Mapping[str, Any]) -> Dataset:
    """Return a data set of conf/data, on the GPU if there is one. Raises UsageError, one line, if it is not there."""
    root, cache = (Path(grammar.place(os.environ.get(*variable))) for variable in PLACES)
    with one_line(unless=False):
        return data.load(options, Place(root, cache, pick_device("auto")))


def network(name: str, images: Dataset, seed: int = 0) -> nn.Module:
    """Return a net of conf/model with freshly drawn weights; the global random stream stays where it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.build(raw("model", name), _facts(images))


def finished(folder: Path, trust: bool) -> Result:
    """Return the result of a finished run that kept its weights; raises UsageError, one line, if it is none.

    trust: whether its data set and net may be anyone's code; a run may come from a stranger.
    """
    result = read_result(folder)
    if result is None or not (folder / "weights.pt").exists():
        raise UsageError(f"{folder}: no finished run with its weights")
    built = {group: result["config"][group] for group in ("data", "model")}
    require_trust(folder, built, trust, remedy="; with --trust it does")
    return result


def trained_net(folder: Path, images: Dataset, trust: bool) -> nn.Module:
    """Return the net of a finished run with its weights, as it is evaluated, on the CPU."""
    net = models.build(finished(folder, trust)["config"]["model"], _facts(images)).eval()
    with open_regular(folder / "weights.pt") as file:
        net.load_state_dict(load_plain(file))
    return net


def _facts(images: Dataset) -> dict[str, Any]:
    return {key: getattr(images, key) for key in ("num_classes", "in_channels", "image_size")}


def fit(model: nn.Module, optimizer: Optimizer, images: Dataset, steps: int, options: probes.Options) -> list[Row]:
    """Train `steps` steps of BATCH images with the probes `options`; returns their rows."""
    model.to(pick_device("auto")).train()
    observer = probes.build(options, model, optimizer, 0)
    dtype, rows = next(model.parameters()).dtype, []
    for step, (x, y) in enumerate(itertools.islice(_forever(images), steps)):
        observer.begin(step, 0)

        def closure(x: Tensor = x, y: Tensor = y) -> float:
            optimizer.zero_grad()
            loss = cross_entropy(model(x.to(dtype)), y)
            torch.autograd.backward(loss)
            observer.gradients()
            return loss.item()

        optimizer.step(closure)
        rows += observer.end(optimizer.param_groups[0]["lr"])
    return rows


def _forever(images: Dataset) -> Iterator[tuple[Tensor, Tensor]]:
    orders, size = torch.Generator().manual_seed(0), len(images.train)
    for epoch in itertools.count():
        order = torch.randperm(size, generator=orders)
        yield from images.train.batches(torch.split(order, BATCH)[: max(size // BATCH, 1)], epoch)


def scalars(rows: list[Row], probe: str) -> pd.DataFrame:
    """Return the scalars of a probe's rows as a table: step, epoch, and one column a value."""
    kept = [
        {"step": row.get("step"), "epoch": row["epoch"]} | row["values"] for row in rows if row.get("probe") == probe
    ]
    return pd.DataFrame([{k: v for k, v in row.items() if not isinstance(v, list)} for row in kept]).astype(float)


def long(rows: list[Row], probe: str) -> pd.DataFrame:
    """Return the per-layer values of a probe's rows as a table: step, epoch, layer, and one column a value."""
    frames = []
    for row in (row for row in rows if row.get("probe") == probe):
        lists = {key: value for key, value in row["values"].items() if isinstance(value, list)}
        frames.append(pd.DataFrame({"step": row.get("step"), "epoch": row["epoch"], "layer": row["layers"], **lists}))
    return pd.concat(frames, ignore_index=True).astype(dict.fromkeys(lists, float))


@dataclass(frozen=True)
class Run:
    """A finished run: its result's metrics, its epochs, and all rows of its metrics.jsonl."""

    metrics: dict[str, Any]
    epochs: pd.DataFrame
    rows: list[Row]


def train(words: Sequence[str]) -> Run:
    """Train by the words of a command line, unless the store has it. Raises UsageError, train.py's last line."""
    command = [sys.executable, "train.py", *words, "keep=none", "progress=false"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return made(Path(done.stdout.strip().splitlines()[-1].rpartition("  ")[2]))


def made(folder: Path) -> Run:
    """Read a finished run; raises UsageError, one line, if it is none."""
    result = read_result(folder)
    if result is None:
        raise UsageError(f"{folder}: no finished run")
    rows, _ = read_lines(folder / "metrics.jsonl")
    return Run(result["metrics"], pd.DataFrame([row for row in rows if row.get("kind") == "epoch"]), rows)
