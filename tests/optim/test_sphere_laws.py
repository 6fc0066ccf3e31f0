"""What the papers prove about scale-invariant weights, as properties of the optimizers."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter

from optim import SGDG, SGDMRT, AdamG, AdamGRepo, AdamGStar, AdamS, AdamSRT, Chain
from optim.stages import adam, heavy_ball
from optim.stages.sphere import inner

SEEDS = st.integers(0, 10**6)
SHAPES = st.sampled_from([(5, 3, 3, 3), (4, 6), (3, 2, 1, 5), (2, 1, 3, 3)])
KINDS = st.sampled_from(["channel", "layer"])


def draw(shape, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dot(x: Tensor, y: Tensor, kind: str) -> Tensor:
    return inner(x, y, kind)


def norm(x: Tensor, kind: str) -> Tensor:
    return dot(x, x, kind).sqrt()


def stepped(make, shape, kind, seed, steps=1, gradient=draw):
    """An optimizer over one weight after some steps on drawn gradients."""
    p = Parameter(draw(shape, seed))
    optimizer = make([{"params": [p], "invariance": kind}])
    for step in range(steps):
        p.grad = gradient(shape, seed + 1 + step)
        optimizer.step()
    return p, optimizer


@given(SHAPES, KINDS, SEEDS)
@settings(max_examples=25, deadline=None)
def test_transported_momentum_is_tangent_and_rescaled_by_the_radius_ratio(shape, kind, seed):
    lr, b1, b2 = 0.1, 0.9, 0.99
    p, optimizer = stepped(lambda g: AdamSRT(g, lr=lr, betas=(b1, b2)), shape, kind, seed, steps=3)
    state = optimizer.state[p]
    x, m0, v0 = p.detach().clone(), state["adam.exp_avg"].clone(), state["adam.exp_avg_sq"].clone()
    p.grad = draw(shape, seed + 50)
    optimizer.step()
    new, m, v = p.detach(), state["adam.exp_avg"], state["adam.exp_avg_sq"]
    assert (dot(m, new, kind).abs() <= 1e-12 * norm(m, kind) * norm(new, kind)).all()
    carried = b1 * m0 + (1 - b1) * p.grad  # what is carried along: its tangent part turns, in the plane of x and x'
    groups = x.numel() // v.numel()
    fresh = b2 * v0 + (1 - b2) * dot(p.grad, p.grad, kind) / groups
    torch.testing.assert_close(v, fresh * dot(x, x, kind) / dot(new, new, kind), rtol=1e-10, atol=0)
    u, step = x / norm(x, kind), new - x
    tangential = carried - dot(carried, u, kind) * u
    kept = norm(tangential, kind) * norm(x, kind) / norm(new, kind)
    torch.testing.assert_close(norm(m, kind), kept, rtol=1e-9, atol=1e-12)
    assert float(norm(step, kind).min()) > 0


@pytest.mark.filterwarnings("ignore:.*no param group with weights")
@given(SHAPES, SEEDS)
@settings(max_examples=15, deadline=None)
def test_groups_of_one_entry_give_adam_and_sgd(shape, seed):
    plain = {
        "adam": (lambda g: Chain(g, (adam((0.9, 0.99)),), lr=0.1), [AdamS, AdamSRT]),
        "sgd": (lambda g: Chain(g, (heavy_ball(0.9, first="zero"),), lr=0.1), [SGDMRT]),
    }
    for make, methods in plain.values():
        p = Parameter(draw(shape, seed))
        optimizer = make([p])
        for step in range(4):
            p.grad = draw(shape, seed + 1 + step)
            optimizer.step()
        for method in methods:
            more = {} if method is SGDMRT else {"betas": (0.9, 0.99)}
            q, _ = stepped(lambda g, m=method, k=more: m(g, lr=0.1, **k), shape, "none", seed, steps=4)
            torch.testing.assert_close(q, p, rtol=1e-12, atol=1e-14)


@pytest.mark.filterwarnings("ignore:.*no param group with weights")
@given(st.integers(2, 6), SEEDS)
@settings(max_examples=15, deadline=None)
def test_a_row_of_one_entry_gives_adam_too(rows, seed):
    p, _ = stepped(lambda g: AdamS(g, lr=0.1), (rows, 1), "channel", seed, steps=4)
    q, _ = stepped(lambda g: AdamS(g, lr=0.1), (rows, 1), "none", seed, steps=4)
    torch.testing.assert_close(p, q, rtol=1e-12, atol=0)


@given(SHAPES, KINDS, SEEDS)
@settings(max_examples=15, deadline=None)
def test_without_transport_the_first_step_is_that_of_adam_s_and_later_ones_are_not(shape, kind, seed):
    one, _ = stepped(lambda g: AdamS(g, lr=0.1), shape, kind, seed)
    other, _ = stepped(lambda g: AdamSRT(g, lr=0.1), shape, kind, seed)
    assert torch.equal(one, other)
    one, _ = stepped(lambda g: AdamS(g, lr=0.1), shape, kind, seed, steps=3)
    other, _ = stepped(lambda g: AdamSRT(g, lr=0.1), shape, kind, seed, steps=3)
    assert not torch.allclose(one, other, rtol=1e-6)


@given(SHAPES, st.sampled_from(["sgd", "adam", "adams"]), st.floats(0, 0.1), SEEDS)
@settings(max_examples=40, deadline=None)
def test_image_step_and_radius_are_theorem_2(shape, method, decay, seed):
    """Eq. 12 and 13 are exact, for x' = x - eta a / b with a = m / (1 - b1), b as Eq. 9 (1 for SGD)."""
    lr, b1, b2, t = 0.01, 0.9, 0.99, 3
    make = {
        "sgd": lambda g: Chain(g, (heavy_ball(b1),), lr=lr, weight_decay=decay, decay="coupled"),
        "adam": lambda g: Chain(g, (adam((b1, b2), 0.0),), lr=lr, weight_decay=decay, decay="coupled"),
        "adams": lambda g: AdamS(g, lr=lr, betas=(b1, b2), eps=0.0, weight_decay=decay),
    }[method]
    p, optimizer = stepped(make, shape, "channel", seed, steps=t - 1)
    x = p.detach().clone()
    p.grad = draw(shape, seed + 50)
    optimizer.step()
    state = optimizer.state[p]
    if method == "sgd":
        a, b = state["momentum.buffer"], torch.ones_like(x)
    else:
        a = state["adam.exp_avg"] / (1 - b1)
        b = (1 - b1**t) / (1 - b1) * (state["adam.exp_avg_sq"] / (1 - b2**t)).sqrt().expand_as(x)
    d = x[0].numel()
    r, u = norm(x, "channel"), x / norm(x, "channel")
    size = norm(b, "channel") / math.sqrt(d)
    c = r * a / (b / size)
    radial = lr * dot(c, u, "channel") / (r**2 * size)
    rate = lr / (r**2 * size) / (1 - radial)
    turned = rate * (c - dot(c, u, "channel") * u)
    stretch = (1 + dot(turned, turned, "channel")).sqrt()
    new, sign = p.detach(), (1 - radial).sign()
    torch.testing.assert_close(new / norm(new, "channel"), sign * (u - turned) / stretch, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(norm(new, "channel") / r, (1 - radial).abs() * stretch, rtol=1e-10, atol=0)


@given(st.sampled_from(["sgd", "adam"]), st.floats(0, 0.1), SEEDS)
@settings(max_examples=20, deadline=None)
def test_a_step_is_the_sum_of_past_gradients_and_points_on_the_sphere(method, decay, seed):
    """Eq. 16, 17: c_k = (c_grad + lambda r_k^2 c_L2) / (b / size), and the step is -A_k r_k c_k, b by Eq. 8 and 9."""
    lr, b1, b2, eps, shape = 0.05, 0.9, 0.99, 1e-8, (4, 6)
    p = Parameter(draw(shape, seed))
    make = {
        "sgd": lambda: Chain([p], (heavy_ball(b1),), lr=lr, weight_decay=decay, decay="coupled"),
        "adam": lambda: Chain([p], (adam((b1, b2), eps),), lr=lr, weight_decay=decay, decay="coupled"),
    }
    optimizer, radii, units, slopes, square = make[method](), [], [], [], torch.zeros(shape, dtype=torch.float64)
    for k in range(5):
        x = p.detach().clone()
        p.grad = draw(shape, seed + 1 + k)
        radii.append(norm(x, "channel"))
        units.append(x / radii[-1])
        slopes.append(radii[-1] * p.grad)  # the gradient at u_k, Lemma 1
        square = b2 * square + (1 - b2) * (p.grad + decay * x).square()
        corrected = (1 - b1 ** (k + 1)) / (1 - b1) * ((square / (1 - b2 ** (k + 1))).sqrt() + eps)
        b = torch.ones(shape, dtype=torch.float64) if method == "sgd" else corrected
        size, r = norm(b, "channel") / math.sqrt(shape[1]), radii[-1]
        gradients = sum(b1 ** (k - i) * r / radii[i] * slopes[i] for i in range(k + 1))
        points = sum(b1 ** (k - i) * radii[i] / r * units[i] for i in range(k + 1))
        c = (gradients + decay * r**2 * points) / (b / size)
        optimizer.step()
        torch.testing.assert_close(p.detach() - x, -lr / (r**2 * size) * r * c, rtol=1e-9, atol=1e-12)


@given(st.sampled_from(["sgd", "adam", "adams", "adamsrt"]), st.floats(0.1, 10), SEEDS)
@settings(max_examples=20, deadline=None)
def test_equal_effective_rates_and_directions_make_equal_paths_on_the_sphere(method, radius, seed):
    """Lemma 3: a scheme that starts at another radius and steps by r eta^e c alone, of any other's, has its u_k."""
    make = {
        "sgd": lambda g: Chain(g, (heavy_ball(0.9),), lr=0.02),
        "adam": lambda g: Chain(g, (adam((0.9, 0.99)),), lr=0.02),
        "adams": lambda g: AdamS(g, lr=0.02),
        "adamsrt": lambda g: AdamSRT(g, lr=0.02),
    }[method]
    p = Parameter(draw((4, 6), seed))
    q = radius * p.detach().clone()
    optimizer = make([{"params": [p], "invariance": "channel"}])
    for k in range(5):
        r, u = norm(p.detach(), "channel"), p.detach() / norm(p.detach(), "channel")
        p.grad = draw((4, 6), seed + 1 + k)
        optimizer.step()
        moved = (u * r - p.detach()) / r  # A c
        radial = dot(moved, u, "channel")
        turned = (moved - radial * u) / (1 - radial)  # eta^e c, tangential
        q = q - norm(q, "channel") * turned
        torch.testing.assert_close(
            q / norm(q, "channel"), p.detach() / norm(p.detach(), "channel"), rtol=1e-9, atol=1e-12
        )
    assert not torch.allclose(norm(q, "channel"), norm(p.detach(), "channel"), rtol=1e-3) or method == "adamsrt"


@pytest.mark.parametrize("decay", [0.01, 0.5])
def test_l2_is_an_exponential_schedule_on_the_sphere(decay):
    """Eq. 44: SGD with L2 has the directions of SGD whose rate is eta (1 - eta lambda)^(-2k-1), exactly."""
    lr, start = 0.1, draw((4, 3), 0)
    with_l2, scheduled = Parameter(start.clone()), Parameter(start.clone())
    optimizers = [torch.optim.SGD([with_l2], lr=lr, weight_decay=decay), torch.optim.SGD([scheduled], lr=lr)]
    for k in range(15):
        optimizers[1].param_groups[0]["lr"] = lr * (1 - lr * decay) ** (-2 * k - 1)
        for optimizer, x in zip(optimizers, (with_l2, scheduled), strict=True):
            optimizer.zero_grad()
            rosenbrock(x).sum().backward()
            optimizer.step()
        u, v = (x.detach() / norm(x.detach(), "channel") for x in (with_l2, scheduled))
        torch.testing.assert_close(u, v, rtol=1e-9, atol=1e-10)
    assert (norm(with_l2.detach(), "channel") < 0.99 * norm(scheduled.detach(), "channel")).all()


def rosenbrock(x: Tensor) -> Tensor:
    """A scale-invariant function of rows in three dimensions (AdamP, Appendix B): Rosenbrock's of the direction."""
    u = x / x.norm(dim=1, keepdim=True)
    return ((1 - u[:, 0]) ** 2 + 5 * (u[:, 1] - u[:, 0] ** 2) ** 2 + (u[:, 2] - u[:, 1] ** 2) ** 2).sum()


def path(make, lr: float, steps: int, wd: float) -> Tensor:
    p = Parameter(1.5 * draw((3, 3), 4))
    optimizer = make([{"params": [p], "invariance": "channel"}], lr=lr, weight_decay=wd)
    for _ in range(steps):
        p.grad = None
        rosenbrock(p).backward()
        optimizer.step()
    return p.detach() / p.detach().norm(dim=1, keepdim=True)


def test_sgd_with_l2_follows_adamg_star_to_second_order():
    """Theorem 4: over a fixed time, half the step makes a quarter of the difference; so does half of that."""
    errors = []
    for halvings in range(3):
        lr, steps = 0.4 / 2**halvings, 12 * 2**halvings
        star = path(AdamGStar, lr, steps, 0.1)
        errors.append(float((star - path(plain_sgd, lr, steps, 0.1)).norm()))
    ratios = [a / b for a, b in pairwise(errors)]
    assert all(ratio > 3.5 for ratio in ratios), (errors, ratios)


def plain_sgd(params, lr, weight_decay):
    return torch.optim.SGD([params[0]["params"][0]], lr=lr, weight_decay=weight_decay)


@given(st.sampled_from([SGDG, AdamG, AdamGRepo, AdamGStar]), SHAPES, KINDS, st.integers(1, 5), SEEDS)
@settings(max_examples=40, deadline=None)
def test_rows_stay_on_the_sphere(make, shape, kind, steps, seed):
    p, _ = stepped(make, shape, kind, seed, steps)
    torch.testing.assert_close(norm(p.detach(), kind), torch.ones_like(norm(p.detach(), kind)), rtol=1e-7, atol=0)


@given(st.sampled_from([SGDG, AdamG]), SHAPES, KINDS, SEEDS)
@settings(max_examples=25, deadline=None)
def test_moments_stay_tangent_and_the_step_has_the_length_of_its_velocity(make, shape, kind, seed):
    p, optimizer = stepped(make, shape, kind, seed, steps=3)
    name = "sphere.buffer" if make is SGDG else "sphere.exp_avg"
    m = optimizer.state[p][name]
    assert (dot(m, p.detach(), kind).abs() <= 1e-12 * norm(m, kind).clamp_min(1e-3)).all()
    if make is SGDG:  # the carried velocity has the length of the arc
        before = p.detach().clone()
        p.grad = draw(shape, seed + 50)
        optimizer.step()
        arc = dot(before, p.detach(), kind).clamp(-1, 1).arccos()
        torch.testing.assert_close(norm(optimizer.state[p][name], kind), arc, rtol=1e-5, atol=1e-7)


@given(st.sampled_from([SGDG, AdamG, AdamGStar]), st.floats(0.1, 10), SEEDS)
@settings(max_examples=15, deadline=None)
def test_the_radius_at_the_start_does_not_matter(make, factor, seed):
    """The first gradient is put in terms of the sphere; AdamG* alone knows its radius, as SGD does."""
    ends = []
    for scale in (1.0, factor):
        p = Parameter(draw((4, 3), seed) * scale)
        rate = {"lr": 0.05 * scale**2} if make is AdamGStar else {}
        optimizer = make([{"params": [p], "invariance": "channel"}], **rate, weight_decay=0.0)
        for _ in range(3):
            p.grad = None
            rosenbrock(p).backward()
            optimizer.step()
            if make is AdamGStar:
                optimizer.param_groups[0]["lr"] = 0.05 * scale**2
        ends.append(p.detach())
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("make", [AdamS, AdamSRT, SGDG, AdamGStar])
def test_state_is_no_larger_than_the_method_needs(make):
    p, optimizer = stepped(make, (8, 4, 3, 3), "channel", 0)
    sizes = {key: value.numel() for key, value in optimizer.state[p].items()}
    full = [key for key, size in sizes.items() if size == p.numel()]
    assert len(full) == (0 if make is AdamGStar else 1)
    assert all(size in (1, 8, p.numel()) for size in sizes.values())


def test_an_unknown_invariance_is_refused():
    for make in (AdamS, AdamSRT, SGDMRT, AdamG):
        with pytest.raises(ValueError, match="invariance='filter' is not allowed: choose one of none, channel, layer"):
            make([{"params": [Parameter(torch.ones(2, 2))], "invariance": "filter"}])
