"""The numbers that AdamP prints for its toy problems, and the problems themselves."""

import math

import pandas as pd
import pytest
import torch

import optim
from conf.errors import UsageError
from reports.analyses import rosenbrock, sphere, toys
from reports.analyses.command import Scale, main
from reports.analyses.rosenbrock import angles, rosenbrock_start
from reports.analyses.toys import SGD, Method, cosine_loss, descend


@pytest.mark.parametrize(("name", "printed"), [("GD, momentum 0.9", 2.93), ("GD, momentum 0.99", 27.87)])
def test_norms_of_figure_1(name, printed):
    method = next(m for m in toys.METHODS if m.label == name)
    path = descend(cosine_loss, toys.START, method, toys.STEPS)
    assert path.norm(dim=1).max().item() == pytest.approx(printed, rel=0.01)


@pytest.mark.parametrize(("name", "printed"), list(rosenbrock.CHECKS.items()))
def test_radii_of_figure_3(name, printed):
    path = rosenbrock.path_of(rosenbrock.FIXED[name])
    assert path.norm(dim=1).max().item() == pytest.approx(printed, rel=0.01)


def test_rosenbrock_starts_at_minus_2_2_and_ends_at_1_1():
    assert [a.item() for a in angles(rosenbrock_start())] == pytest.approx([-2, 2], abs=1e-6)
    psi, phi = 1 / 1.5, 1 / 1.5
    best = torch.tensor([math.cos(phi) * math.sin(psi), math.sin(phi), math.cos(phi) * math.cos(psi)])
    assert rosenbrock.height(3 * best.double()).item() == pytest.approx(0, abs=1e-9)


def test_rmsgd_is_descent_with_momentum_on_a_toy():
    """What the figures' notes say: EVBMF finds no structure in one row, however often it looks."""
    weight = torch.nn.Parameter(toys.START.double()[None].clone())
    optimizer = optim.RMSGD([weight], lr=toys.RATE, linear=True)
    for _ in range(200):
        optimizer.zero_grad()
        cosine_loss(weight.flatten()).backward()
        optimizer.step()
        optimizer.epoch_end()
    path = descend(cosine_loss, toys.START, Method("", SGD, toys.HEAVY), 200)
    assert torch.allclose(weight.detach().flatten(), path[-1], rtol=0, atol=1e-14)
    assert weight.norm() > 2


@pytest.mark.parametrize("method", toys.METHODS, ids=lambda m: m.label)
def test_every_method_moves_on_the_plane(method):
    path = descend(cosine_loss, toys.START, method, 20)
    assert path.shape == (21, 2)
    assert path.isfinite().all()
    assert cosine_loss(path[-1]) < cosine_loss(path[0])


def test_any_optimizer_walks_the_surfaces_as_its_yaml_has_it(tmp_path):
    assert main(["toy2d", "optimizer=sgd,sing", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "trajectories.pdf").stat().st_size > 5000
    table = pd.read_csv(tmp_path / "trajectories.csv")
    assert set(table.method) == {f"{name}, {at}" for name in ("SGD", "SING") for at in toys.SURFACES}
    ends = table[table.step == toys.WALK].set_index("method").loss
    assert (ends < table[table.step == 0].set_index("method").loss).all()
    for loss, _, end, _ in toys.SURFACES.values():
        assert loss(torch.tensor(end, dtype=torch.double)) == pytest.approx(0, abs=1e-12)
    with pytest.raises(UsageError, match=r"optimizer: unknown 'sig'; .*nearest: sing"):
        main(["toy2d", "optimizer=sig"])
    with pytest.raises(UsageError, match="only toy2d takes optimizers"):
        main(["growth", "optimizer=sing"])


def test_steps_on_the_sphere_are_as_eq_12_and_18_say(tmp_path):
    assert all(check.met for check in sphere.sphere(tmp_path, Scale("cpu")))
    table = pd.read_csv(tmp_path / "sphere.csv")
    assert table.along.dropna().tolist() == pytest.approx([math.cos(math.radians(5 * k)) for k in range(18)])
    assert (tmp_path / "sphere.png").stat().st_size > 5000
