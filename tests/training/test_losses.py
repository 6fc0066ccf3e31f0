"""Where a run diverged: the first loss that is not finite, and the layer whose norm grew first."""

import math

import pytest
import torch
from torch import nn

from training.distribution import World
from training.losses import KEPT, Losses, first_to_grow

INF = math.inf


@pytest.mark.parametrize(
    ("norms", "found"),
    [
        ([[1, 1], [2, 1], [30, 2]], (2, 0, 30.0)),
        ([[1, 1], [1, 20], [90, 20]], (1, 1, 20.0)),  # the first, not the largest
        ([[1, 1], [3, 2], [math.nan, INF]], (2, 0, 3.0)),  # all at once: what grew most before
        ([[1, 2], [2, 3]], (1, 0, 2.0)),  # none has grown: the loss overflowed
        ([[0, 1], [5, 1], [9, 11]], (2, 1, 11.0)),  # zero at the start has no growth
        ([[1, 1], [1, math.nan]], (1, 1, 1.0)),
    ],
)
def test_first_to_grow(norms, found):
    assert first_to_grow(torch.tensor(norms, dtype=torch.float32)) == found


def test_a_diverged_run_is_described_by_its_last_steps():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    losses = Losses(net, every_steps=0)
    for step in range(1, 50):
        if step == 40:
            with torch.no_grad():
                net[2].weight.mul_(100)
        losses.add(step, torch.tensor(1.0 / step if step < 48 else math.nan))
    found = losses.diverged(49, World())
    assert (found["step"], found["layer"], found["layer_step"]) == (48, "2", 48)
    assert found["loss"] == pytest.approx(1 / 47)
    assert found["growth"] > 50
    assert [step for step, _ in found["losses"]] == list(range(50 - KEPT, 50))
    assert losses.rows(World()) == []


def test_every_so_many_steps_there_is_a_row_and_each_once():
    losses = Losses(nn.Linear(2, 1), every_steps=3)
    for step in range(1, 8):
        losses.add(step, torch.tensor(float(step)))
    rows = [{"kind": "step", "step": step, "loss": float(step)} for step in (3, 6)]
    assert losses.rows(World()) == rows
    assert losses.rows(World()) == []
