"""The observer's promises: nothing changes, nothing is done when nothing is due."""

import pytest
import torch
from torch import nn

import probes


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))


def train(model, optimizer, observer, steps=5, epoch=0):
    """Train a few steps as the trainer does; returns all rows."""
    rows, generator = [], torch.Generator().manual_seed(1)
    for step in range(steps):
        x, y = torch.randn(6, 1, 8, 8, generator=generator), torch.randint(3, (6,), generator=generator)
        observer.begin(step, epoch)

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x.to(next(model.parameters()).dtype)), y)
            loss.backward()
            observer.gradients()
            return loss

        optimizer.step(closure)
        rows += observer.end(optimizer.param_groups[0]["lr"])
    return rows


def test_no_probes_no_rows():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    observer = probes.build({}, model, optimizer, 0)
    assert train(model, optimizer, observer) == []
    assert observer.epoch_end(1) == []


def test_due_only_every_n_steps():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rows = train(model, optimizer, probes.build({"norms": {"every": 2}}, model, optimizer, 0))
    assert [row["step"] for row in rows] == [0, 2, 4]
    assert all(len(row["layers"]) == len(row["values"]["norm"]) == 6 for row in rows)


def test_scalars_alone():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (row,) = train(model, optimizer, probes.build({"norms": {"per_layer": False}}, model, optimizer, 0))
    assert "layers" not in row
    assert all(isinstance(value, float) for value in row["values"].values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"norm": {}}, "nearest: norms"),
        ({"norms": {"evry": 1}}, "evry"),
        ({"norms": {"layers": ["conv*"]}}, "matches no weight"),
    ],
)
def test_mistakes_are_one_line(options, said):
    model = net()
    with pytest.raises(ValueError, match=said) as raised:
        probes.build(options, model, torch.optim.SGD(model.parameters(), lr=0.1), 0)
    assert "\n" not in str(raised.value)
