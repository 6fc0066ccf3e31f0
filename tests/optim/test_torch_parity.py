"""Chains that are torch's own optimizers in other words: equal to 1e-12 in float64 over 50 steps."""

import pytest
import torch

from optim import Chain
from optim.stages import adafactor, adam, heavy_ball

SHAPES = [(8, 3, 3, 3), (8, 4, 1, 1), (6, 1, 3, 3), (5, 7), (5,), ()]


def draws(seed: int, dtype: torch.dtype = torch.float64) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in SHAPES]


def run(make, steps: int = 50, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    params = draws(0, dtype)
    optimizer = make([{"params": params[:3]}, {"params": params[3:], "lr": 3e-3, "weight_decay": 0.02}])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        for p, g in zip(params, draws(step + 1, dtype), strict=True):
            p.grad = None if step % 7 == 3 and p.ndim == 1 else g.data * 0.1 + 0.01 * p.data
        optimizer.step()
        schedule.step()
    return [p.data for p in params]


PAIRS = {
    "sgd": (
        lambda ps: Chain(ps, (heavy_ball(0.9, 0.1),), lr=0.1, weight_decay=0.01, decay="coupled"),
        lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    ),
    "sgd nesterov": (
        lambda ps: Chain(ps, (heavy_ball(0.9, nesterov=True),), lr=0.1, decay="coupled"),
        lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.0),
    ),
    "adamw": (
        lambda ps: Chain(ps, (adam((0.8, 0.95), 1e-6),), lr=1e-2, weight_decay=0.1),
        lambda ps: torch.optim.AdamW(ps, lr=1e-2, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
    ),
    "adafactor": (
        lambda ps: Chain(ps, (adafactor(-0.7, 1e-7, 1e-2, 1.5),), lr=0.3, weight_decay=0.1),
        lambda ps: torch.optim.Adafactor(ps, lr=0.3, beta2_decay=-0.7, eps=(1e-7, 1e-2), d=1.5, weight_decay=0.1),
    ),
    "adam": (
        lambda ps: Chain(ps, (adam(),), lr=1e-2, weight_decay=0.1, decay="coupled", maximize=True),
        lambda ps: torch.optim.Adam(ps, lr=1e-2, weight_decay=0.1, maximize=True),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_equals_torch(name):
    ours, theirs = (run(make) for make in PAIRS[name])
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
