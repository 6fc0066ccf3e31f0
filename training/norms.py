"""Batch norm in training: whose statistics move, and when."""

import fnmatch
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


@contextmanager
def frozen_statistics(model: nn.Module, frozen: bool = True) -> Iterator[None]:
    """Normalise by the batch as in training, but leave the running statistics alone.

    The later evaluations of one step (SAM's second pass, a line search's trials) see the same batch again, and must
    not count it twice.
    """
    moved = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats] if frozen else []
    for module in moved:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in moved:
            module.track_running_stats = True


def synchronised(model: nn.Module, bn: str, device: torch.device) -> nn.Module:
    """Return the model with batch statistics of one process (`local`) or of all together (`sync`).

    Raises ValueError for `sync` on a CPU, for which torch has no kernel.
    """
    if bn == "sync" and device.type != "cuda":
        raise ValueError(f"bn: sync needs CUDA devices, this run is on {device.type}; allowed here: local")
    return nn.SyncBatchNorm.convert_sync_batchnorm(model) if bn == "sync" else model


def freeze(model: nn.Module, what: str | list[str]) -> list[str]:
    """Stop training some parameters: none, the scale and shift of every norm, or those that match a pattern.

    Returns the frozen names. Raises ValueError for a pattern that matches nothing.
    """
    if isinstance(what, list):
        return [name for pattern in what for name in _freeze_matching(model, pattern)]
    if what == "none":
        return []
    names = [
        f"{path}.{name}"
        for path, module in model.named_modules()
        if isinstance(module, _NORMS)
        for name, _ in module.named_parameters(recurse=False)
    ]
    return [name for exact in names for name in _freeze_matching(model, exact)]


def _freeze_matching(model: nn.Module, pattern: str) -> list[str]:
    matches = {n: p for n, p in model.named_parameters() if fnmatch.fnmatchcase(n, pattern)}
    if not matches:
        raise ValueError(f"freeze: the pattern {pattern!r} matches no parameter")
    for parameter in matches.values():
        parameter.requires_grad_(False)
    return list(matches)
