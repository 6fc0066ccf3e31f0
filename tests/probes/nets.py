"""A small float64 net with scale-invariant filters, and real training steps on it."""

import torch
from torch import nn


def net(dtype=torch.float64, seed=0) -> nn.Module:
    """Two convolutions before batch norms (next to no eps: invariant to rounding), and a linear map (not invariant)."""
    torch.manual_seed(seed)
    block = [nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4, eps=1e-30), nn.ReLU()]
    block += [nn.Conv2d(4, 5, 3, bias=False), nn.BatchNorm2d(5, eps=1e-30), nn.ReLU()]
    return nn.Sequential(*block, nn.Flatten(), nn.Linear(80, 3)).to(dtype)


INVARIANT = ("0.weight", "3.weight")


def train(model, optimizer, observer, steps=5, seed=1, first=0):
    """Train a few steps as the trainer does; returns all rows."""
    rows, dtype = [], next(model.parameters()).dtype
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(1000 * seed + step)
        x = torch.randn(16, 1, 8, 8, generator=generator, dtype=dtype)
        y = torch.randint(3, (16,), generator=generator)
        observer.begin(step, 0)
        calls = []

        def closure(x=x, y=y, calls=calls):
            loss = nn.functional.cross_entropy(model(x), y)
            if torch.is_grad_enabled():
                optimizer.zero_grad()
                loss.backward()
            if not calls:
                observer.gradients()
            calls.append(1)
            return loss.detach()

        optimizer.step(closure)
        rows += observer.end(optimizer.param_groups[0]["lr"])
    return rows
