"""The numbers that AdamP prints for its toy problems, and the problems themselves."""

import math

import pytest
import torch

import optim
from probes.analyses import rosenbrock3d, toy2d
from probes.analyses.toys import SGD, Method, angles, cosine_loss, descend, rosenbrock_start


@pytest.mark.parametrize(("name", "printed"), [("GD, momentum 0.9", 2.93), ("GD, momentum 0.99", 27.87)])
def test_norms_of_figure_1(name, printed):
    method = next(m for m in toy2d.METHODS if m.label == name)
    path = descend(cosine_loss, toy2d.START, method, toy2d.STEPS)
    assert path.norm(dim=1).max().item() == pytest.approx(printed, rel=0.01)


@pytest.mark.parametrize(("name", "printed"), list(rosenbrock3d.CHECKS.items()))
def test_radii_of_figure_3(name, printed):
    path = rosenbrock3d.path_of(rosenbrock3d.FIXED[name])
    assert path.norm(dim=1).max().item() == pytest.approx(printed, rel=0.01)


def test_rosenbrock_starts_at_minus_2_2_and_ends_at_1_1():
    assert [a.item() for a in angles(rosenbrock_start())] == pytest.approx([-2, 2], abs=1e-6)
    psi, phi = 1 / 1.5, 1 / 1.5
    best = torch.tensor([math.cos(phi) * math.sin(psi), math.sin(phi), math.cos(phi) * math.cos(psi)])
    assert rosenbrock3d.height(3 * best.double()).item() == pytest.approx(0, abs=1e-9)


def test_rmsgd_is_descent_with_momentum_on_a_toy():
    """What the figures' notes say: EVBMF finds no structure in one row, however often it looks."""
    weight = torch.nn.Parameter(toy2d.START.double()[None].clone())
    optimizer = optim.RMSGD([weight], lr=toy2d.RATE, linear=True)
    for _ in range(200):
        optimizer.zero_grad()
        cosine_loss(weight.flatten()).backward()
        optimizer.step()
        optimizer.epoch_end()
    path = descend(cosine_loss, toy2d.START, Method("", SGD, toy2d.HEAVY), 200)
    assert torch.allclose(weight.detach().flatten(), path[-1], rtol=0, atol=1e-14)
    assert weight.norm() > 2


@pytest.mark.parametrize("method", toy2d.METHODS, ids=lambda m: m.label)
def test_every_method_moves_on_the_plane(method):
    path = descend(cosine_loss, toy2d.START, method, 20)
    assert path.shape == (21, 2)
    assert path.isfinite().all()
    assert cosine_loss(path[-1]) < cosine_loss(path[0])
