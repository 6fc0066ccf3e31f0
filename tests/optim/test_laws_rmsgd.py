"""What RMSGD's paper proves, of our RMSGD (Hosseini et al. 2022: numbers of theorems and equations as there)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter

from optim import RMSGD
from optim import rmsgd as rank
from optim.evbmf import Spectrum, singular_values, stable_rank

seeds = st.integers(0, 2**31)
few = settings(max_examples=20, deadline=None, derandomize=True)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def s(matrix: Tensor) -> float:
    """Eq. 2 of the whole matrix, as the proof has it."""
    return stable_rank(singular_values(matrix), *matrix.shape, p=2)


def descended(weight: Tensor, gradient: Tensor, lr: float) -> Tensor:
    """Eq. 7: the weight after an epoch of vanilla SGD with one accumulated gradient."""
    p = Parameter(weight.clone())
    p.grad = gradient
    RMSGD([p], lr=lr, momentum=0.0, linear=True).step()
    return p.detach()


def norm2(x: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(x, 2)


def growth(w: Tensor, g: Tensor, lr: float) -> float:
    """The right side of Eq. 13: D(lr) / (n gamma), D as Eq. 14."""
    ratio, square = norm2(g) / norm2(w), (w * w).sum()
    quadratic = (g * g).sum() - ratio**2 * square
    linear = 2 * (w * g).sum() + 2 * ratio * square
    gamma = (norm2(w) + lr * norm2(g)) ** 2
    return float((quadratic * lr**2 - linear * lr) / (min(w.shape) * gamma))


def least_rate(w: Tensor, g: Tensor) -> float:
    """Eq. 15, from which on D is not negative."""
    ratio, square = norm2(g) / norm2(w), (w * w).sum()
    return float(2 * ((w * g).sum() + ratio * square) / ((g * g).sum() - ratio**2 * square))


@given(seed=seeds, lr=st.floats(1e-4, 100))
@few
def test_the_stable_rank_grows_by_the_bound_at_least(seed, lr):
    """Theorem 1, Eq. 13, at every rate; it is met with equality where weight and gradient are one matrix."""
    w, g = drawn(seed, 4, 2) @ drawn(seed + 1, 2, 9), drawn(seed + 2, 4, 9)
    assert s(descended(w, g, lr)) - s(w) >= growth(w, g, lr) - 1e-12
    same = descended(w, -w, lr)
    assert math.isclose(s(same) - s(w), growth(w, -w, lr), abs_tol=1e-9)


@given(seed=seeds, beyond=st.floats(1.0, 50))
@few
def test_from_a_least_rate_on_the_stable_rank_does_not_fall(seed, beyond):
    """Theorem 1, Eq. 15: where the gradient has the higher stable rank, as that of a mini-batch beside a structure."""
    w, g = drawn(seed, 4, 1) @ drawn(seed + 1, 1, 9), drawn(seed + 2, 4, 9)
    least = least_rate(w, g)
    assert s(g) > s(w)
    assert least > 0
    assert math.isclose(growth(w, g, least), 0, abs_tol=1e-12)
    assert s(descended(w, g, beyond * least)) >= s(w) - 1e-12


def test_below_it_the_stable_rank_can_fall() -> None:
    """So the theorem says that a rate exists, and not that the rates of Eq. 8 are such."""
    w, g = torch.diag(torch.tensor([2.0, 1.0], dtype=torch.float64)), torch.diag(torch.tensor([-1.0, 1.0]).double())
    assert s(descended(w, g, 0.1)) < s(w)


@given(seed=seeds, momentum=st.floats(0, 0.95))
@few
def test_an_iterate_is_that_of_momentum_sgd_with_a_rate_of_its_layer_and_epoch(seed, momentum):
    """Proposition 1: w_{k+1} = w_k + alpha (w_k - w_{k-1}) - eta_l(t) g_k, also where the epoch changes the rate."""
    scripted = iter((0.2, 0.5, 0.7, 0.6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rank, "analyse", lambda w, scale: ranked(next(scripted)))
        params = [Parameter(drawn(seed + i, 4, 5)) for i in range(2)]
        optimizer = RMSGD(params, lr=0.1, momentum=momentum, beta=0.9, linear=True, variant="text", p=2)
        paths, rates, epoch_end = [[p.detach().clone()] * 2 for p in params], [0.1, 0.1], [0.0, 0.0]
        for k in range(6):
            for i, p in enumerate(params):
                p.grad = drawn(seed + 10 * k + i, 4, 5)
            optimizer.step()
            for p, path, rate in zip(params, paths, rates, strict=True):
                expected = path[-1] + momentum * (path[-1] - path[-2]) - rate * p.grad
                torch.testing.assert_close(p.detach(), expected, rtol=1e-10, atol=1e-12)
                path.append(p.detach().clone())
            if k in (1, 3):
                values = ((0.2, 0.5), (0.7, 0.6))[k // 2]
                rates = [0.9 * eta + (now - last) for eta, now, last in zip(rates, values, epoch_end, strict=True)]
                epoch_end = list(values)
                optimizer.epoch_end()
        assert min(rates) > 0


def ranked(value: float) -> Spectrum:
    return Spectrum(0.0, value, 0.0, 0.0, value, 0.0)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("variance", [0.0, 1.0])
def test_below_the_rate_of_theorem_2_the_loss_goes_to_its_minimum(momentum, variance):
    """Theorem 2, Eq. 19, 20: eta = (1 - alpha) / (C (M + 1)), the variance of a gradient M times its squared norm."""
    curvature = torch.logspace(-1, 1, 16, dtype=torch.float64).view(4, 4)  # C = 10
    lr = (1 - momentum) / (10 * (variance + 1))
    assert loss_after(4000, curvature, lr, momentum, variance) < 1e-12 * loss_after(
        0, curvature, lr, momentum, variance
    )


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_above_the_rate_of_stability_it_diverges(momentum):
    curvature = torch.logspace(-1, 1, 16, dtype=torch.float64).view(4, 4)
    lr = 2 * (1 + momentum) / 10
    assert loss_after(500, curvature, 1.02 * lr, momentum, 0.0) > 1e3
    assert loss_after(4000, curvature, 0.98 * lr, momentum, 0.0) < 1e-12


def loss_after(steps: int, curvature: Tensor, lr: float, momentum: float, variance: float) -> float:
    """A convex quadratic after steps of an RMSGD whose epoch does not end, from a drawn start."""
    p = Parameter(drawn(3, 4, 4))
    optimizer = RMSGD([p], lr=lr, momentum=momentum, variant="text")
    generator = torch.Generator().manual_seed(4)
    for _ in range(steps):
        g = curvature * p.detach()
        noise = torch.randn(g.shape, generator=generator, dtype=g.dtype)
        p.grad = g + math.sqrt(variance / g.numel()) * g.norm() * noise
        optimizer.step()
    return float(0.5 * (curvature * p.detach().square()).sum())
