"""The numbers that AdamP prints for its toy problems, and the problems themselves."""

import math

import pytest
import torch

from probes.analyses import rosenbrock3d, toy2d
from probes.analyses.toys import angles, cosine_loss, descend, rosenbrock_start


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


@pytest.mark.parametrize("method", toy2d.METHODS, ids=lambda m: m.label)
def test_every_method_moves_on_the_plane(method):
    path = descend(cosine_loss, toy2d.START, method, 20)
    assert path.shape == (21, 2)
    assert path.isfinite().all()
    assert cosine_loss(path[-1]) < cosine_loss(path[0])
