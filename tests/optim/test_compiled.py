"""compile=True: the same numbers to 1e-6, and no new compilation when the learning rate changes."""

import pytest
import torch
from torch._dynamo.utils import counters
from torch.nn import Parameter

from tests.optim.table import NAMES, ROWS

SHAPES = [(4, 3, 3, 3), (5,)]


def run(row, compiled: bool, steps: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    params = [Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    optimizer = row.build(params, weight_decay=0.1, compile=compiled)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    for _ in range(steps):
        goals = [torch.randn(shape, generator=generator) for shape in SHAPES]
        optimizer.step(closure_of(params, goals))
        schedule.step()
    return [p.detach() for p in params]


def closure_of(params, goals):
    def closure() -> torch.Tensor:
        loss = torch.stack([((p - goal) ** 2).sum() for p, goal in zip(params, goals, strict=True)]).sum()
        if torch.is_grad_enabled():
            for p in params:
                p.grad = None
            loss.backward()
        return loss.detach()

    return closure


@pytest.mark.parametrize("name", NAMES)
def test_equals_eager_without_recompiling(name):
    row = ROWS[name]
    expected = run(row, compiled=False)
    counters.clear()
    for x, y in zip(run(row, compiled=True), expected, strict=True):
        assert (x - y).abs().max() <= 1e-6 * y.abs().max()
    assert counters["stats"]["unique_graphs"] == len(SHAPES)
