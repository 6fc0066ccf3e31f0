"""What SING's paper proves, of our SING (Courtois et al. 2023, supplement: numbers of lemmas and theorems as there)."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter

from optim import SING

SHAPES = [(6, 3, 3, 3), (5, 4, 1, 1), (4, 7), (5,), (1,)]
BASES = ("adam", "sgd", "adabelief", "adafactor")
seeds = st.integers(0, 2**31)
few = settings(max_examples=20, deadline=None, derandomize=True)


def draws(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]


def run(gradients: list[list[Tensor]], **keywords) -> list[Tensor]:
    """Weights after a step for each list of gradients."""
    params = [Parameter(w) for w in draws(0)]
    optimizer = SING(params, **{"lr": 0.05, "eps": 0.0, **keywords})
    for step in gradients:
        for p, g in zip(params, step, strict=True):
            p.grad = g.clone()
        optimizer.step()
    return [p.detach() for p in params]


def close(xs: list[Tensor], ys: list[Tensor]) -> None:
    for x, y in zip(xs, ys, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("base", ["adam", "sgd"])
@given(seed=seeds, power=st.floats(-12, 12))
@few
def test_invariant_to_the_scale_of_the_gradient(base, seed, power):
    steps = [draws(seed + i) for i in range(4)]
    scaled = [[g * 10**power for g in step] for step in steps]
    close(run(steps, base=base, weight_decay=0.1), run(scaled, base=base, weight_decay=0.1))


@given(seed=seeds, limits=st.lists(st.floats(1e-6, 1e3), min_size=len(SHAPES), max_size=len(SHAPES)))
@few
def test_invariant_to_clipping_tensor_by_tensor(seed, limits):
    steps = [draws(seed + i) for i in range(4)]
    clipped = [[g * min(1.0, limit / g.norm()) for g, limit in zip(step, limits, strict=True)] for step in steps]
    close(run(steps), run(clipped))


@given(seed=seeds, momentum=st.floats(0, 0.95))
@few
def test_means_of_slices_are_preserved(seed, momentum):
    """Theorem 3.2, for tensors with two and more dimensions; the mean of a bias moves."""
    after = run([draws(seed + i) for i in range(5)], base="sgd", betas=(momentum, 0.999))
    for before, now in zip(draws(0), after, strict=True):
        if before.ndim > 1:
            torch.testing.assert_close(now.flatten(1).mean(1), before.flatten(1).mean(1), rtol=0, atol=1e-12)


@given(seed=seeds, lr=st.floats(1e-3, 10))
@few
def test_a_step_without_momentum_has_length_lr_sqrt_d(seed, lr):
    """Lemmas A.1 and A.3: each of the D blocks moves by lr, so the whole by lr sqrt(D)."""
    after = run([draws(seed)], base="sgd", betas=(0.0, 0.999), lr=lr)
    squares = [(now - before).square().sum() for before, now in zip(draws(0), after, strict=True)]
    # a tensor of one entry a slice is not centred, and all others of more than one dimension are
    assert math.isclose(float(sum(squares)) ** 0.5, lr * math.sqrt(len(SHAPES)), rel_tol=1e-9)


@given(seed=seeds, radius=st.floats(1e-3, 100), depth=st.integers(1, 12))
@few
def test_escapes_a_basin_at_the_rate_of_the_theorem(seed, radius, depth):
    """Theorem 3.1: from inside a ball of radius r around the minimum of a quadratic, lr >= 2 r / sqrt(D) leaves it."""
    generator = torch.Generator().manual_seed(seed)
    goals = [torch.randn(4, 6, generator=generator, dtype=torch.float64) for _ in range(depth)]
    offsets = [torch.randn(4, 6, generator=generator, dtype=torch.float64) for _ in range(depth)]
    inside = float(torch.rand((), generator=generator)) * radius / length(offsets)
    params = [Parameter(goal + offset * inside) for goal, offset in zip(goals, offsets, strict=True)]
    for p, goal in zip(params, goals, strict=True):
        curvature = torch.rand(4, 6, generator=generator, dtype=torch.float64) + 0.1
        p.grad = curvature * (p.detach() - goal)
    lr = 2 * radius / math.sqrt(depth) * (1 + 1e-9)
    SING(params, lr=lr, base="sgd", betas=(0.0, 0.999), eps=0.0).step()
    assert length([p.detach() - goal for p, goal in zip(params, goals, strict=True)]) > radius


def length(xs: list[Tensor]) -> float:
    return float(sum(x.square().sum() for x in xs)) ** 0.5


def test_softplus_makes_large_tensors_step_like_normalised_sgd():
    """A unit gradient of n entries has root mean square n^-1/2: for large n the denominator is near ln 2 / 50."""
    p = Parameter(torch.zeros(1024, 1024))
    p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
    SING([p], lr=1.0, betas=(0.9, 0.999)).step()
    assert math.isclose(float(p.detach().norm()), 50 / math.log(2), rel_tol=0.08)


def test_tensors_of_one_entry_a_slice_still_train():
    p = Parameter(torch.ones(4, 1, 1, 1))
    p.grad = torch.tensor([1.0, 2.0, 3.0, 4.0]).view_as(p)
    SING([p]).step()
    assert (p < 1).all()


@pytest.mark.parametrize("base", BASES)
def test_biases_and_scales_do_not_decay(base):
    zero = [torch.zeros(shape, dtype=torch.float64) for shape in SHAPES]
    after = run([zero], base=base, weight_decay=0.5, eps=1e-8)
    for before, now in zip(draws(0), after, strict=True):
        torch.testing.assert_close(now, before * (1 - 0.05 * 0.5) if before.ndim > 1 else before)


def test_lookahead_goes_back_half_way_every_fifth_step():
    steps = [draws(i + 1) for i in range(5)]
    fast, slow = run(steps), draws(0)
    close(run(steps, lookahead=(5, 0.5)), [(f + s) / 2 for f, s in zip(fast, slow, strict=True)])
    close(run(steps[:4], lookahead=(5, 0.5)), run(steps[:4]))


def centred(x: Tensor) -> Tensor:
    """phi of the paper: each slice minus its mean, where a tensor has two or more dimensions."""
    return x if x.ndim < 2 or x[0].numel() == 1 else x - x.flatten(1).mean(1).view(-1, *[1] * (x.ndim - 1))


def moved(blocks: list[Tensor]) -> list[Tensor]:
    """phi(x) / Gamma(phi(x)), as our step of rate 1 from the origin moves."""
    params = [Parameter(torch.zeros_like(x)) for x in blocks]
    for p, x in zip(params, blocks, strict=True):
        p.grad = x.clone()
    SING(params, lr=1.0, base="sgd", betas=(0.0, 0.999), eps=0.0).step()
    return [-p.detach() for p in params]


def inner(xs: list[Tensor], ys: list[Tensor]) -> float:
    return float(sum((x * y).sum() for x, y in zip(xs, ys, strict=True)))


@given(seed=seeds, matrices=st.booleans())
@few
def test_the_inner_product_of_a_gradient_and_its_step_is_the_sum_of_block_norms(seed, matrices):
    """Lemma A.2 (vectors, which are not centred) and A.4: <x, phi(x) / Gamma(phi(x))> = N_phi(x) >= ||x||_phi."""
    generator = torch.Generator().manual_seed(seed)
    shapes = SHAPES if matrices else [(3,), (8,), (1,), (20,)]
    blocks = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    sums = sum(math.sqrt(inner([x], [centred(x)])) for x in blocks)
    assert math.isclose(inner(blocks, moved(blocks)), sums, rel_tol=1e-10)
    pseudo = math.sqrt(inner(blocks, [centred(x) for x in blocks]))
    assert pseudo <= sums * (1 + 1e-12)
    assert pseudo <= length(blocks) * (1 + 1e-12)
    assert matrices or math.isclose(pseudo, length(blocks))


def noisy_descent(seed: int, centre: bool, depth: int, lr: float, steps: int, noise: float) -> list[tuple[float, ...]]:
    """SING on a quadratic: before each step the loss, the (pseudo-)norm of its gradient, that of the noise.

    The Lipschitz constant L of the gradient is 1; the noise of the gradient has mean square noise ** 2.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 6) if centre else (12,)
    params = [Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for _ in range(depth)]
    curvatures = [torch.rand(shape, generator=generator, dtype=torch.float64).clamp_max(1) for _ in range(depth)]
    optimizer, seen = SING(params, lr=lr, base="sgd", betas=(0.0, 0.999), eps=0.0), []
    for _ in range(steps + 1):
        true = [c * p.detach() for c, p in zip(curvatures, params, strict=True)]
        errors = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in params]
        errors = [noise * e / math.sqrt(depth * 12) for e in errors]
        loss = inner([p.detach() for p in params], true) / 2
        seen.append((loss, math.sqrt(inner(true, [centred(g) for g in true])), length(errors)))
        for p, g, error in zip(params, true, errors, strict=True):
            p.grad = g + error
        optimizer.step()
    return seen


@given(seed=seeds, centre=st.booleans(), depth=st.integers(1, 5), lr=st.floats(1e-3, 1), noise=st.floats(0, 1))
@few
def test_a_step_descends_as_the_convergence_theorems_need(seed, centre, depth, lr, noise):
    """Eq. 16 and 21: ||grad F||_phi <= (F(x) - F(x+)) / eta + (1 + sqrt(D)) ||grad F - grad f|| + eta L D / 2."""
    seen = noisy_descent(seed, centre, depth, lr, 20, noise)
    for (loss, slope, error), (after, _, _) in pairwise(seen):
        bound = (loss - after) / lr + (1 + math.sqrt(depth)) * error + lr * depth / 2
        assert slope <= bound * (1 + 1e-9)


@given(seed=seeds, centre=st.booleans())
@few
def test_the_bound_on_a_step_is_sharp_where_one_block_descends_alone(seed, centre):
    """With one block, no noise and a small rate a step descends by eta ||grad F||_phi: the bound cannot be smaller."""
    (loss, slope, _), (after, _, _) = noisy_descent(seed, centre, 1, 1e-6, 1, 0.0)
    assert math.isclose((loss - after) / 1e-6, slope, rel_tol=1e-5)


@given(seed=seeds, centre=st.booleans(), depth=st.integers(1, 4), eps=st.floats(0.2, 1))
@few
def test_the_mean_gradient_is_bounded_as_in_the_convergence_theorems(seed, centre, depth, eps):
    """Theorems 3.3 and 3.4: eta = 2 eps / L and T = L F(x_0) / (2 eps^2) give a mean of (2 + sqrt(D) + D) eps."""
    first = noisy_descent(seed, centre, depth, 2 * eps, 0, eps)[0][0]
    steps = max(1, math.ceil(first / (2 * eps**2)))
    slopes = [slope for _, slope, _ in noisy_descent(seed, centre, depth, 2 * eps, steps, eps)[:-1]]
    assert sum(slopes) / steps <= (2 + math.sqrt(depth) + depth) * eps
