"""Each probe's numbers against plain formulas or known cases."""

import math

import pytest
import torch

import optim
import probes
from tests.probes.nets import net, train


def rows_of(options, make=lambda p: torch.optim.SGD(p, lr=0.1), steps=1):
    model = net()
    optimizer = make(model.parameters())
    observer = probes.build(options, model, optimizer, 0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    rows = train(model, optimizer, observer, steps=steps)
    return rows, before, model, observer


def layer(row, name, value):
    return row["values"][value][row["layers"].index(name)]


def test_norms():
    (row,), before, model, _ = rows_of({"norms": {}})
    for name, after in model.named_parameters():
        old, new = before[name], after.detach()
        assert layer(row, name, "norm") == pytest.approx(new.norm().item(), rel=1e-12)
        assert layer(row, name, "growth") == pytest.approx((new.norm() ** 2 - old.norm() ** 2).item(), abs=1e-12)
        assert layer(row, name, "step_length") == pytest.approx((new - old).norm().item(), rel=1e-12)
        if old.norm() > 0:
            chord = (new / new.norm() - old / old.norm()).norm().item()
            assert layer(row, name, "effective_step") == pytest.approx(chord, rel=1e-7, abs=1e-12)
    norms = [p.norm().item() for p in model.parameters()]
    assert row["values"]["total_norm"] == pytest.approx(math.hypot(*norms), rel=1e-12)


def test_growth_of_an_invariant_weight_is_lemma_2_1():
    (row, other), *_ = rows_of({"norms": {}, "gradient": {"window": 0}})
    assert layer(row, "0.weight", "growth") == pytest.approx(0.01 * layer(other, "0.weight", "norm") ** 2, rel=1e-10)


def test_cosine_and_projection_tell_the_invariant_weights():
    (cosine, projection), *_ = rows_of({"cosine": {}, "projection": {}})
    for name in ("0.weight", "3.weight"):
        assert layer(cosine, name, "channel") < 1e-10
        assert layer(projection, name, "projected") == 1
    assert layer(cosine, "7.weight", "channel") > 0.1
    assert layer(projection, "7.weight", "projected") == 0
    assert projection["values"]["tensors"] == pytest.approx(2 / 3)
    assert projection["values"]["entries"] == pytest.approx((36 + 180) / (36 + 180 + 240))


def test_spherical_leaves_out_what_is_not_invariant():
    (row,), before, _, _ = rows_of({"spherical": {}})
    assert layer(row, "7.weight", "rate") is None
    radii = before["0.weight"].flatten(1).norm(dim=1)
    assert layer(row, "0.weight", "rate") == pytest.approx((0.1 / radii**2).mean().item(), rel=1e-12)
    assert row["values"]["max_size"] == max(layer(row, n, "size") for n in ("0.weight", "3.weight"))


def test_spherical_believes_the_param_groups():
    model = net()
    groups = [
        {"params": [model[0].weight], "invariance": "layer"},
        {"params": [p for n, p in model.named_parameters() if n != "0.weight"], "invariance": "none"},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    radius = model[0].weight.norm().item()
    (row,) = train(model, optimizer, probes.build({"spherical": {}}, model, optimizer, 0), steps=1)
    assert layer(row, "3.weight", "rate") is None
    assert layer(row, "0.weight", "radius") == pytest.approx(radius)


def test_gradient_noise_of_samples_with_known_moments():
    """Gradients m + s z in 20,000 dimensions: noise is s^2 per entry, signal m^2 per entry."""
    weight = torch.nn.Parameter(torch.zeros(20000))
    module = torch.nn.Module()
    module.weight = weight
    optimizer = torch.optim.SGD(module.parameters(), lr=0.0)
    observer = probes.build({"gradient": {"every": 10, "window": 5}}, module, optimizer, 0)
    generator, rows = torch.Generator().manual_seed(0), []
    for step in range(10):
        observer.begin(step, 0)
        weight.grad = 2 + 3 * torch.randn(20000, generator=generator)
        observer.gradients()
        rows += observer.end(0.0)
    norm, noise = rows
    assert norm["values"]["total_norm"] == pytest.approx(math.sqrt(13 * 20000), rel=0.02)
    assert noise["step"] == 4
    assert noise["values"]["noise"] == pytest.approx(9 * 20000, rel=0.03)
    assert noise["values"]["signal"] == pytest.approx(4 * 20000, rel=0.05)


def test_gradient_window_out_of_range_is_a_mistake():
    with pytest.raises(ValueError, match="window: 9 is out of range"):
        rows_of({"gradient": {"every": 4, "window": 9}})


def test_blocks():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (row,) = train(model, optimizer, probes.build({"blocks": {}}, model, optimizer, 0), steps=1)
    gradient = model[0].weight.grad
    centred = gradient - gradient.mean(dim=(1, 2, 3), keepdim=True)
    assert layer(row, "0.weight", "norm") == pytest.approx(centred.norm().item(), rel=1e-12)
    removed = 1 - (centred.norm() / gradient.norm()).item() ** 2
    assert layer(row, "0.weight", "removed") == pytest.approx(removed, rel=1e-9)
    assert layer(row, "1.weight", "removed") == pytest.approx(0, abs=1e-12)
    assert row["values"]["spread"] == pytest.approx(max(row["values"]["norm"]) / min(row["values"]["norm"]))


def test_blocks_leave_slices_of_one_entry_as_sing_does():
    """A 1x1 depthwise kernel: centralised, its gradient would be zero."""
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 1, groups=1, bias=False), torch.nn.Flatten())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    observer = probes.build({"blocks": {}}, model, optimizer, 0)
    observer.begin(0, 0)
    model(torch.ones(1, 1, 2, 2)).sum().backward()
    observer.gradients()
    (row,) = observer.end(0.1)
    assert row["values"]["removed"] == [0.0]
    assert row["values"]["norm"] == [pytest.approx(8.0)]


def test_ranks_of_a_planted_structure():
    model = torch.nn.Sequential(torch.nn.Conv2d(32, 32, 3), torch.nn.Conv2d(32, 32, 3), torch.nn.Linear(4, 4))
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(32, 288, generator=generator)
    planted = torch.randn(32, 3, generator=generator) @ torch.randn(3, 288, generator=generator) * 3
    model[0].weight.data.copy_(noise.reshape(32, 32, 3, 3))
    model[1].weight.data.copy_((noise + planted).reshape(32, 32, 3, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    observer = probes.build({"ranks": {"every_epochs": 2}}, model, optimizer, 0)
    assert observer.epoch_end(1) == []
    (row,) = observer.epoch_end(2)
    assert row["layers"] == ["0.weight", "1.weight"]
    values = row["values"]
    assert values["rank"][0] == values["stable_rank"][0] == values["code_stable_rank"][0] == 0
    assert values["quality"][0] is values["condition"][0] is values["code_condition"][0] is None
    assert values["rank"][1] >= 3 / 32
    assert values["code_condition"][1] >= 1 > values["condition"][1] >= 0
    assert values["without_structure"] == 1
    assert values["Q"] == pytest.approx(values["quality"][1])
    for name in ("stable_rank", "condition", "quality", "code_stable_rank", "code_condition"):
        assert values[f"mean_{name}"] == pytest.approx(values[name][1])


def test_ranks_give_rmsgds_own_rates_zero_included():
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3))
    optimizer = optim.RMSGD(model.parameters(), lr=0.5)
    model(torch.ones(1, 2, 4, 4)).sum().backward()
    optimizer.step()
    observer = probes.build({"ranks": {}}, model, optimizer, 0)
    for factor in (1.0, 0.0):
        optimizer.state[model[0].weight]["rank.rate"].fill_(factor)
        assert observer.epoch_end(1)[0]["values"]["rate"] == [0.5 * factor]
