"""What benchmarks.probe and benchmarks.optimizers time of the probes: steps that are watched, and EVBMF."""

from collections.abc import Callable
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import probes
from benchmarks import in_turns, seconds
from models.resnet import resnet18, resnet20, resnet50
from optim import evbmf
from training.runtime import pick_device

STEPS_OF_AN_EPOCH = 390  # of CIFAR, in batches of 128
EVERY_STEP = {"norms": {"every": 1}, "spherical": {"every": 1}}


def stepper(net: nn.Module, options: dict[str, dict[str, Any]]) -> tuple[Callable[[], None], probes.Observer]:
    """Return a function that takes one step of SGD on random images, watched by the probes `options`, and these."""
    device = pick_device("auto")
    net.to(device).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    observer = probes.build(options, net, optimizer, 0)
    x, y = torch.randn(128, 3, 32, 32, device=device), torch.arange(128, device=device) % 10

    def step() -> None:
        observer.begin(0, 0)
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        observer.gradients()
        optimizer.step()
        observer.end(0.01)

    return step, observer


def cost(rounds: int) -> dict[str, float]:
    """Return the shares of a step's time (norms, spherical) and of an epoch's (ranks) that the probes take."""
    bare, watched = stepper(resnet20(10), {})[0], stepper(resnet20(10), EVERY_STEP)[0]
    step, observer = stepper(resnet18(10), {"ranks": {}})
    calls = {"bare": bare, "watched": watched, "step": step, "ranks": lambda: observer.epoch_end(1)}
    in_turns(calls, 1)
    times = in_turns(calls, rounds)
    found = {name: median(values) for name, values in times.items()}
    ratio = median(one / other for one, other in zip(times["watched"], times["bare"], strict=True))
    whole = found["step"] * STEPS_OF_AN_EPOCH
    return found | {"share_of_a_step": ratio - 1, "share_of_an_epoch": found["ranks"] / whole}


def full_svd(matrix: Tensor) -> Tensor:
    """Singular values as the authors' code gets them: with the vectors, in the matrix's precision."""
    values: Tensor = torch.linalg.svd(matrix.detach(), full_matrices=False).S
    return values.double()


def compare_probe() -> dict[str, Any]:
    """Seconds of both, and whether they agree: the ranks, and the largest difference of stable rank."""
    torch.manual_seed(0)
    weights = [p.detach() for p in resnet50(10).parameters() if p.ndim == 4]

    def probe() -> tuple[float, list[evbmf.Spectrum]]:
        spectra: list[evbmf.Spectrum] = []
        return seconds(lambda: spectra.extend(map(evbmf.analyse, weights))), spectra

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
