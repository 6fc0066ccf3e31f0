"""A bare training loop with probes, for analyses that a run of train.py does not fit."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

import data
import models
import probes
from conf.groups import raw

SETS = {"cpu": "digits", "paper": "cifar10"}


def dataset(scale: str) -> data.Dataset:
    """Return the scale's data set: digits, or CIFAR-10 from datasets/."""
    return data.load(raw("data", SETS[scale]), root=Path("datasets"), cache=Path("build/cache"))


def network(name: str, images: data.Dataset, seed: int = 0) -> nn.Module:
    """Return a net of conf/model with freshly drawn weights; the global random stream stays where it was."""
    facts = {key: getattr(images, key) for key in ("num_classes", "in_channels", "image_size")}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.build(raw("model", name), **facts)


def fit(
    model: nn.Module,
    optimizer: Optimizer,
    images: data.Dataset,
    steps: int,
    options: Mapping[str, Mapping[str, Any]],
    batch: int = 128,
    seed: int = 0,
) -> list[probes.observer.Row]:
    """Train `steps` steps of `batch` images with the probes `options`; returns their rows."""
    observer = probes.build(options, model, optimizer, seed)
    dtype, rows, orders = next(model.parameters()).dtype, [], torch.Generator().manual_seed(seed)
    model.train()
    for step, (x, y) in enumerate(itertools.islice(_forever(images, batch, orders), steps)):
        observer.begin(step, 0)

        def closure(x: torch.Tensor = x, y: torch.Tensor = y) -> torch.Tensor:
            optimizer.zero_grad()
            loss = cross_entropy(model(x.to(dtype)), y)
            loss.backward()
            observer.gradients()
            return loss.detach()

        optimizer.step(closure)
        rows += observer.end(optimizer.param_groups[0]["lr"])
    return rows


def _forever(images: data.Dataset, batch: int, orders: torch.Generator) -> Any:
    for epoch in itertools.count():
        order = torch.randperm(len(images.train), generator=orders)
        yield from images.train.batches(order.split(batch)[: len(order) // batch], epoch)


def long(rows: list[probes.observer.Row]) -> pd.DataFrame:
    """Return the per-layer values of rows as a table: step, epoch, layer, and one column a value."""
    frames = []
    for row in rows:
        lists = {key: value for key, value in row["values"].items() if isinstance(value, list)}
        frames.append(pd.DataFrame({"step": row.get("step"), "epoch": row["epoch"], "layer": row["layers"], **lists}))
    return pd.concat(frames, ignore_index=True).astype(dict.fromkeys(lists, float))
