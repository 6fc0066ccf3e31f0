"""What AdamP's paper proves, of our AdamP and SGDP (Heo et al. 2021: numbers of lemmas and equations as there)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter

from optim import SGDP, AdamP

ALWAYS, NEVER = 1e9, 0.0  # delta: project every tensor, or none
seeds = st.integers(0, 2**31)
few = settings(max_examples=20, deadline=None, derandomize=True)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def invariant_loss(weight: Tensor, seed: int) -> Tensor:
    """A loss of the direction of each row alone."""
    units = weight.flatten(1) / weight.flatten(1).norm(dim=1, keepdim=True)
    return (units.tanh() * drawn(seed, *units.shape)).sum() + (units.square() * drawn(seed + 1, *units.shape)).sum()


def step(optimizer, weight: Parameter, seed: int) -> Tensor:
    """One step on the invariant loss; returns the squared norms of the rows after it."""
    weight.grad = None
    invariant_loss(weight, seed).backward()
    optimizer.step()
    return squares(weight)


def squares(weight: Tensor) -> Tensor:
    return weight.detach().flatten(1).square().sum(1)


@given(seed=seeds, lr=st.floats(1e-3, 2))
@few
def test_gradient_descent_grows_the_norm(seed, lr):
    """Lemma 2.1: ||w'||^2 = ||w||^2 + lr^2 ||p||^2."""
    w = Parameter(drawn(seed, 3, 8))
    before = squares(w)
    after = step(SGDP([w], lr=lr, delta=NEVER), w, seed + 7)
    torch.testing.assert_close(after, before + lr**2 * squares(w.grad), rtol=1e-10, atol=0)


@given(seed=seeds, lr=st.floats(1e-3, 0.5), momentum=st.floats(0, 0.95))
@few
def test_momentum_grows_it_more(seed, lr, momentum):
    """Lemma 2.2: ||w_{t+1}||^2 = ||w_t||^2 + lr^2 ||p_t||^2 + 2 lr^2 sum_{k<t} beta^(t-k) ||p_k||^2."""
    w = Parameter(drawn(seed, 3, 8))
    optimizer = SGDP([w], lr=lr, momentum=momentum, delta=NEVER)
    pasts: list[Tensor] = []
    for t in range(6):
        before = squares(w)
        after = step(optimizer, w, seed + 10 * t)
        p = squares(optimizer.state[w]["momentum.buffer"])
        past = sum((momentum ** (t - k) * pasts[k] for k in range(t)), torch.zeros(3, dtype=torch.float64))
        torch.testing.assert_close(after, before + lr**2 * (p + 2 * past), rtol=1e-9, atol=0)
        pasts.append(p)


@given(
    seed=seeds, lr=st.floats(1e-3, 0.3), momentum=st.floats(0, 0.95), nesterov=st.booleans(), decay=st.floats(0, 0.5)
)
@few
def test_nesterov_and_decay_grow_it_by_the_same_induction(seed, lr, momentum, nesterov, decay):
    """Lemma 2.2 for what E.2 runs: with c = 1 - lr decay, u_t = p_t, with Nesterov's u_t = g_t + beta p_t,

    ||w_{t+1}||^2 = c^2 ||w_t||^2 + lr^2 ||u_t||^2 + 2 c lr^2 h sum_{k<t} (c beta)^(t-k) <u_k, p_k> / c, where h is 1,
    or beta with Nesterov.
    """
    w = Parameter(drawn(seed, 3, 8))
    optimizer = SGDP([w], lr=lr, momentum=momentum, delta=NEVER, nesterov=nesterov, weight_decay=decay * (1 - momentum))
    c, h, products = 1 - lr * decay, momentum if nesterov else 1.0, list[Tensor]()
    for t in range(6):
        before = squares(w)
        after = step(optimizer, w, seed + 10 * t)
        p = optimizer.state[w]["momentum.buffer"].clone()
        u = w.grad + momentum * p if nesterov else p
        past = sum(((c * momentum) ** (t - k) * products[k] for k in range(t)), torch.zeros(3, dtype=torch.float64))
        torch.testing.assert_close(after, c**2 * before + lr**2 * (squares(u) + 2 * h * past), rtol=1e-9, atol=0)
        products.append((u * p).sum(1))


METHODS = {
    "sgd": lambda w, decay: SGDP([w], lr=0.05, momentum=0.9, delta=NEVER, weight_decay=decay * 0.1),
    "sgdp": lambda w, decay: SGDP([w], lr=0.05, momentum=0.9, weight_decay=decay),
    "adamw": lambda w, decay: AdamP([w], lr=0.02, delta=NEVER, weight_decay=decay, wd_ratio=1.0),
    "adamp": lambda w, decay: AdamP([w], lr=0.02, weight_decay=decay, wd_ratio=1.0),
}


def trained(method: str, decay: float) -> tuple[float, float]:
    """The last norm, and the sum of the turns of the last half of 120 steps, under a cosine."""
    w = Parameter(drawn(5, 3, 8))
    optimizer, turns = METHODS[method](w, decay), []
    first = optimizer.param_groups[0]["lr"]
    for t in range(120):
        optimizer.param_groups[0]["lr"] = first * 0.5 * (1 + math.cos(math.pi * t / 120))
        old = w.detach() / squares(w).sqrt()[:, None]
        step(optimizer, w, 1000 + t)
        turns.append(float((w.detach() / squares(w).sqrt()[:, None] - old).norm()))
    return float(squares(w).sum().sqrt()), sum(turns[60:])


@pytest.mark.parametrize(("plain", "projected"), [("sgd", "sgdp"), ("adamw", "adamp")])
def test_a_high_decay_makes_norms_small_and_effective_steps_large(plain, projected):
    """Section F.1, Figures F.5 and F.6; at each decay the projected method has the smaller norm, as in F.1 to F.4."""
    decays = (0.0, 0.1, 1.0)
    norms, turns = zip(*(trained(plain, decay) for decay in decays), strict=True)
    assert sorted(norms, reverse=True) == list(norms)
    assert sorted(turns) == list(turns)
    assert all(trained(projected, decay)[0] < norm for decay, norm in zip(decays, norms, strict=True))


@given(seed=seeds, lr=st.floats(1e-3, 0.5), momentum=st.floats(0, 0.95))
@few
def test_projection_brings_the_growth_back(seed, lr, momentum):
    """Eq. 12: ||w'||^2 = ||w||^2 + lr^2 ||q||^2 <= ||w||^2 + lr^2 ||p||^2."""
    w = Parameter(drawn(seed, 3, 8))
    optimizer = SGDP([w], lr=lr, momentum=momentum, eps=1e-300)
    for t in range(6):
        before, old = squares(w), w.detach().clone()
        after = step(optimizer, w, seed + 10 * t)
        torch.testing.assert_close(after, before + squares(w.detach() - old), rtol=1e-10, atol=0)
        p = squares(optimizer.state[w]["momentum.buffer"])
        assert (after <= (before + lr**2 * p) * (1 + 1e-12)).all()
    assert optimizer.metrics() == {"projected_fraction": 1.0}


@given(seed=seeds, nesterov=st.booleans())
@few
def test_the_update_is_orthogonal_to_the_weight_where_projected(seed, nesterov):
    kernel, vector = Parameter(drawn(seed, 4, 3, 3, 3)), Parameter(drawn(seed + 1, 9))
    optimizer = AdamP([kernel, vector], lr=0.1, eps=1e-300, delta=ALWAYS, nesterov=nesterov)
    for t in range(5):
        kernel.grad, vector.grad = drawn(seed + 2 * t, 4, 3, 3, 3), drawn(seed + 2 * t + 1, 9)
        old, old_vector = kernel.detach().clone(), vector.detach().clone()
        optimizer.step()
        moved = kernel.detach() - old
        radial = (moved * old).flatten(1).sum(1) / (moved.flatten(1).norm(dim=1) * old.flatten(1).norm(dim=1))
        assert radial.abs().max() < 1e-12
        along = torch.dot(vector.detach() - old_vector, old_vector)
        assert along.abs() > 1e-6  # a tensor of one dimension is never projected


@given(seed=seeds, lr=st.floats(1e-3, 1))
@few
def test_the_projected_step_lies_on_the_geodesic(seed, lr):
    """Proposition 3.1: w' / ||w'|| lies on the great circle through w and the unprojected w'."""
    weights = [Parameter(drawn(seed, 1, 12)) for _ in range(2)]
    plain, projected = (AdamP([w], lr=lr, delta=delta) for w, delta in zip(weights, (NEVER, ALWAYS), strict=True))
    for optimizer, w in zip((plain, projected), weights, strict=True):
        w.grad = drawn(seed + 3, 1, 12)
        optimizer.step()
    start = drawn(seed, 1, 12).flatten()
    basis, _ = torch.linalg.qr(torch.stack([start, weights[0].detach().flatten()], 1))
    end = weights[1].detach().flatten()
    assert float((end - basis @ (basis.T @ end)).norm()) < 1e-7 * float(end.norm())


@given(seed=seeds, scale=st.floats(1e-3, 1e3))
@few
def test_invariant_rows_are_found_at_any_scale_and_others_are_not(seed, scale):
    free, radial = Parameter(drawn(seed, 3, 8) * scale), Parameter(drawn(seed, 3, 8) * scale)
    invariant_loss(free, seed + 1).backward()
    radial.grad = radial.detach() + 0.3 * drawn(seed + 2, 3, 8) * scale
    for w, fraction in ((free, 1.0), (radial, 0.0)):
        optimizer = AdamP([w])
        optimizer.step()
        assert optimizer.metrics() == {"projected_fraction": fraction}


def test_a_tensor_invariant_only_as_a_whole_is_projected_as_a_whole():
    w = Parameter(drawn(0, 4, 6))
    g = drawn(1, 4, 6)
    w.grad = g - w.detach() * (g * w.detach()).sum() / w.detach().square().sum()
    old = w.detach().clone()
    AdamP([w], lr=0.1, eps=1e-300).step()
    moved = w.detach() - old
    assert abs(float((moved * old).sum())) < 1e-12
    assert float((moved * old).sum(1).abs().max()) > 1e-3


def test_the_momentum_of_sgdp_stays_unprojected():
    """Algorithm 1 keeps p_t; the authors' code projects its buffer in place."""
    w, plain = Parameter(drawn(0, 3, 8)), drawn(0, 3, 8)
    optimizer, buffer = SGDP([w], lr=0.1, momentum=0.9, delta=ALWAYS), torch.zeros_like(plain)
    for t in range(5):
        w.grad = drawn(t + 1, 3, 8)
        buffer = 0.9 * buffer + w.grad
        optimizer.step()
    torch.testing.assert_close(optimizer.state[w]["momentum.buffer"], buffer, rtol=1e-12, atol=0)


def test_decay_is_reduced_where_projected_and_scaled_by_momentum():
    for optimizer_of, gain in ((lambda p: AdamP(p, lr=0.1, weight_decay=0.5), 1.0), (sgdp, 1 / (1 - 0.8))):
        w, b = Parameter(drawn(0, 3, 8)), Parameter(drawn(1, 8))
        w.grad, b.grad = torch.zeros(3, 8, dtype=torch.float64), torch.zeros(8, dtype=torch.float64)
        optimizer_of([w, b]).step()
        assert math.isclose(float((w.detach() / drawn(0, 3, 8)).mean()), 1 - 0.1 * 0.5 * gain * 0.1, rel_tol=1e-12)
        assert math.isclose(float((b.detach() / drawn(1, 8)).mean()), 1 - 0.1 * 0.5 * gain, rel_tol=1e-12)


def sgdp(params) -> SGDP:
    return SGDP(params, lr=0.1, momentum=0.8, weight_decay=0.5)


@pytest.mark.parametrize(("share", "expected"), [(0.99, 1.0), (1.01, 0.0)])
@pytest.mark.parametrize("by_row", [True, False])
def test_the_threshold_is_delta_over_the_root_of_the_entries(by_row, share, expected):
    """Eq. 11: |cos| of both rows just off delta / sqrt(16); or the rows fail, and the whole is off delta / sqrt(32)."""
    aim = share * 0.1 / math.sqrt(16 if by_row else 32)
    cosines = [aim, aim] if by_row else [0.5, -0.5 + 2 * aim]
    w, g = torch.zeros(2, 2, 16, dtype=torch.float64)
    w[:, 0] = 1.0
    for row, cosine in zip(g, cosines, strict=True):
        row[0], row[1] = cosine, math.sqrt(1 - cosine**2)
    p = Parameter(w)
    p.grad = g
    optimizer = AdamP([p], lr=0.1, delta=0.1)
    optimizer.step()
    assert optimizer.metrics()["projected_fraction"] == expected
