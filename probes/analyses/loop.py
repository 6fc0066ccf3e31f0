"""A bare training loop with probes, for analyses that a run of train.py does not fit."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
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
from conf.groups import raw
from training.precision import pick_device

PLACES = (("STEPBENCH_DATA", "datasets"), ("STEPBENCH_CACHE", "datasets/cache"))  # as conf/paths has them


def load(options: Mapping[str, Any]) -> data.Dataset:
    """Return a data set of conf/data, on the GPU if there is one. Raises UsageError, one line, if it is not there."""
    root, cache = (Path(grammar.place(os.environ.get(*variable))) for variable in PLACES)
    with one_line(unless=False):
        return data.load(options, root=root, cache=cache, device=pick_device("auto"))


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
    model.to(pick_device("auto")).train()
    observer = probes.build(options, model, optimizer, seed)
    dtype, rows = next(model.parameters()).dtype, []
    for step, (x, y) in enumerate(itertools.islice(_forever(images, batch, seed), steps)):
        observer.begin(step, 0)

        def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
            optimizer.zero_grad()
            loss = cross_entropy(model(x.to(dtype)), y)
            loss.backward()
            observer.gradients()
            return loss.detach()

        optimizer.step(closure)
        rows += observer.end(optimizer.param_groups[0]["lr"])
    return rows


def _forever(images: data.Dataset, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    orders, size = torch.Generator().manual_seed(seed), len(images.train)
    for epoch in itertools.count():
        order = torch.randperm(size, generator=orders)
        yield from images.train.batches(order.split(batch)[: max(size // batch, 1)], epoch)


def scalars(rows: list[probes.observer.Row]) -> pd.DataFrame:
    """Return the scalars of rows as a table: step, epoch, and one column a value."""
    kept = [{"step": row.get("step"), "epoch": row["epoch"]} | row["values"] for row in rows]
    return pd.DataFrame([{k: v for k, v in row.items() if not isinstance(v, list)} for row in kept]).astype(float)


def long(rows: list[probes.observer.Row]) -> pd.DataFrame:
    """Return the per-layer values of rows as a table: step, epoch, layer, and one column a value."""
    frames = []
    for row in rows:
        lists = {key: value for key, value in row["values"].items() if isinstance(value, list)}
        frames.append(pd.DataFrame({"step": row.get("step"), "epoch": row["epoch"], "layer": row["layers"], **lists}))
    return pd.concat(frames, ignore_index=True).astype(dict.fromkeys(lists, float))
