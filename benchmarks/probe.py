"""RMSGD's probe over all convolutions of CIFAR ResNet-50, against the same EVBMF on a full SVD (vectors included)."""

from __future__ import annotations

import time
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from models.resnet import resnet50
from optim import evbmf


def full_svd(matrix: Tensor) -> Tensor:
    """Singular values as the authors' code gets them: with the vectors, in the matrix's precision."""
    return torch.linalg.svd(matrix.detach(), full_matrices=False).S.double()


def compare_probe() -> dict[str, Any]:
    """Seconds of both, and whether they agree: the ranks, and the largest difference of stable rank."""
    torch.manual_seed(0)
    weights = [p.detach() for p in resnet50(10).parameters() if p.ndim == 4]

    def probe() -> tuple[float, list[evbmf.Spectrum]]:
        start = time.perf_counter()
        spectra = [evbmf.analyse(weight) for weight in weights]
        return time.perf_counter() - start, spectra

    ours, a = min((probe() for _ in range(2)), key=lambda found: found[0])
    with mock.patch.object(evbmf, "singular_values", full_svd):
        theirs, b = probe()
    return {
        "seconds": ours,
        "full_svd_seconds": theirs,
        "share": ours / theirs,
        "same_ranks": [s.rank for s in a] == [s.rank for s in b],
        "stable_rank_difference": max(abs(x.stable_rank - y.stable_rank) for x, y in zip(a, b, strict=True)),
    }
