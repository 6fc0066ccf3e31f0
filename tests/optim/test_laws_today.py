"""What the papers prove or say of the methods of today: scales, rotations, averages, masks, and when one is another."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import optim
from tests.optim.problems import Closure, weights

SHAPE = (5, 5)  # square, so that no eigenvalue of G G^T is 0


def draw(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trained(make, steps: int = 5, start: Tensor | None = None, gradient=lambda w, t: draw(t + 1) + 0.5 * w) -> Tensor:
    """The weights after some steps, of one tensor."""
    p = Parameter(draw(0) if start is None else start.clone())
    optimizer = make([p])
    for step in range(steps):
        p.grad = gradient(p.detach(), step)
        optimizer.step()
    return p.detach()


def update(make, steps: int = 3, scale: float = 1.0, seed: int = 1) -> Tensor:
    """How far the last of some steps went over fixed gradients, in units of -lr."""
    p = Parameter(torch.zeros(SHAPE, dtype=torch.float64))
    optimizer = make([p])
    for step in range(steps):
        before, p.grad = p.detach().clone(), scale * draw(seed + step)
        optimizer.step()
    return (before - p.detach()) / optimizer.param_groups[0]["lr"]


def equal(a: Tensor, b: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


SCALE_FREE = {  # with an epsilon of nothing
    "lion": lambda ps: optim.Lion(ps, lr=0.1),
    "adan": lambda ps: optim.Adan(ps, lr=0.1, eps=0.0),
    "muon": lambda ps: optim.Muon(ps, lr=0.1, ns_dtype="weights", eps=1e-300),
    "soap": lambda ps: optim.SOAP(ps, lr=0.1, eps=1e-30, weight_decay=0.0, precondition_frequency=1),
    "cautious lion": lambda ps: optim.Cautious(ps, lr=0.1, base="lion"),
    "schedule_free_adamw": lambda ps: optim.ScheduleFreeAdamW(ps, lr=0.1, eps=0.0),
    "prodigy": lambda ps: optim.Prodigy(ps, eps=0.0, d0=1e-3),
    "shampoo": lambda ps: optim.Shampoo(ps, lr=0.1, eps=1e-300),
}


@pytest.mark.parametrize("name", SCALE_FREE)
def test_the_step_knows_no_scale_of_the_gradient(name):
    make = SCALE_FREE[name]
    equal(update(make, scale=1e3), update(make), 1e-9)


def test_lions_step_is_a_sign_in_every_entry():
    assert set(update(SCALE_FREE["lion"]).round(decimals=9).abs().flatten().tolist()) == {1.0}


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 2, 3, 1)])
def test_muons_step_has_singular_values_near_one(shape):
    """Jordan et al.: with these coefficients five iterations bring them into (0.7, 1.2)."""
    p = Parameter(draw(0, shape))
    before, p.grad = p.detach().clone(), draw(1, shape)
    optim.Muon([p], lr=1.0, ns_dtype="weights", adjust_lr="none").step()
    values = torch.linalg.svdvals((before - p.detach()).flatten(1))
    assert values.min() > 0.6
    assert values.max() < 1.25


ROTATED = {
    "shampoo": lambda ps: optim.Shampoo(ps, lr=0.1, eps=1e-3),
    "soap": lambda ps: optim.SOAP(ps, lr=0.1, weight_decay=0.0, precondition_frequency=1),
    "muon": lambda ps: optim.Muon(ps, lr=0.1, ns_dtype="weights"),
}


@pytest.mark.parametrize("name", ROTATED)
def test_rotated_rows_and_columns_give_rotated_weights(name):
    """Steps over U G V^T from U W V^T are U (steps over G from W) V^T."""
    left, right = torch.linalg.qr(draw(8))[0], torch.linalg.qr(draw(9))[0]
    plain = trained(ROTATED[name], gradient=lambda w, t: draw(t + 1))
    turned = trained(
        ROTATED[name], start=left @ draw(0) @ right.mT, gradient=lambda w, t: left @ draw(t + 1) @ right.mT
    )
    equal(turned, left @ plain @ right.mT, 1e-7)


def adam(ps):
    return optim.Chain(ps, ["adam"], lr=0.1)


def test_adam_is_turned_by_no_rotation():
    """The test above can fail."""
    turn = torch.linalg.qr(draw(8))[0]
    plain = trained(adam, gradient=lambda w, t: draw(t + 1))
    turned = trained(adam, start=turn @ draw(0), gradient=lambda w, t: turn @ draw(t + 1))
    assert (turned - turn @ plain).abs().max() > 0.01


def test_shampoos_first_step_on_a_square_matrix_is_orthogonal():
    """(G G^T)^(-1/4) G (G^T G)^(-1/4) = U V^T (Gupta et al., Section 1; eps of nothing)."""
    p = Parameter(torch.zeros(5, 5, dtype=torch.float64))
    p.grad = draw(3, (5, 5))
    optim.Shampoo([p], lr=1.0, eps=1e-14).step()
    u, _, vt = torch.linalg.svd(p.grad)
    equal(-p.detach(), u @ vt, 1e-6)


def test_schedule_frees_evaluation_weights_are_the_mean_of_what_sgd_passes():
    """With gradients that do not depend on the weights z is SGD, and x the mean of z_1 ... z_t (Eq. 5)."""
    p = Parameter(draw(0))
    optimizer = optim.ScheduleFreeSGD([p], lr=0.1)
    z, passed = draw(0), []
    for step in range(6):
        p.grad = draw(step + 1)
        optimizer.step()
        z = z - 0.1 * p.grad
        passed.append(z)
        optimizer.eval()
        equal(p.detach(), torch.stack(passed).mean(0))
        optimizer.train()
        equal(p.detach(), 0.9 * torch.stack(passed).mean(0) + 0.1 * z)


def estimates(steps: int = 20, **keywords) -> list[float]:
    params = weights()
    optimizer, closure = optim.Prodigy(params, **keywords), Closure(params)
    found = []
    for closure.step in range(steps):
        optimizer.step(closure)
        found.append(optimizer.metrics()["d"])
    return found


@pytest.mark.parametrize("growth", [math.inf, 1.02])
def test_prodigys_estimate_never_falls_and_grows_no_faster_than_told(growth):
    """But for its first move from d_0, which the authors' code leaves free."""
    found = estimates(d0=1e-4, growth_rate=growth)
    assert all(a <= b and (a == 1e-4 or b <= growth * a * (1 + 1e-12)) for a, b in pairwise(found))
    assert found[-1] > found[0]


def test_prodigy_walks_alike_in_other_units():
    """Weights and d_0 in units c times smaller, gradients c times larger: the same walk, d c times larger."""
    plain = trained(lambda ps: optim.Prodigy(ps, d0=1e-3, eps=0.0), steps=10)
    make = partial(optim.Prodigy, d0=1e-1, eps=0.0)
    scaled = trained(make, steps=10, start=100 * draw(0), gradient=lambda w, t: (draw(t + 1) + 0.5 * w / 100) / 100)
    equal(scaled, 100 * plain, 1e-8)


@pytest.mark.parametrize("base", ["adam", "lion", "heavy_ball"])
def test_cautious_steps_are_a_part_of_the_bases_and_go_downhill(base):
    plain = update(lambda ps: optim.Chain(ps, [base], lr=0.1))
    masked = update(lambda ps: optim.Chain(ps, [base, "cautious"], lr=0.1))
    kept = masked.abs() > 1e-12
    agrees = plain * draw(3) > 0
    number = int(agrees.sum())
    assert torch.equal(kept, agrees)
    assert 0 < number < agrees.numel()
    equal(masked[agrees], plain[agrees] * agrees.numel() / (number + 1))
    assert (masked * draw(3)).min() >= 0


def test_mars_without_correction_is_adamw_of_clipped_gradients():
    """gamma 0; and of gradients that are shorter than 1 it is AdamW itself."""

    def small(w, t):
        return 0.01 * draw(t + 1)

    mars = trained(lambda ps: optim.MARS(ps, lr=0.1, gamma=0.0, weight_decay=0.1), gradient=small)
    adamw = trained(
        lambda ps: torch.optim.AdamW(ps, lr=0.1, betas=(0.95, 0.99), weight_decay=0.1, foreach=False), gradient=small
    )
    equal(mars, adamw)


def test_mars_of_a_gradient_that_stands_still_is_adamw_of_it():
    def still(w, t):
        return 0.01 * draw(7)

    first = optim.MARS([Parameter(draw(0))]).param_groups[0]
    gain = first["gamma"] * first["betas"][0] / (1 - first["betas"][0])
    ours = trained(lambda ps: optim.MARS(ps, lr=0.1), gradient=still)
    other = trained(
        lambda ps: torch.optim.Adam(ps, lr=0.1, betas=(0.95, 0.99), foreach=False),
        gradient=lambda w, t: still(w, t) * (1 + gain if t == 0 else 1),
    )
    equal(ours, other)


def test_adan_of_a_gradient_that_stands_still_steps_by_the_rate():
    """v is 0, m is g, n is g^2: every entry moves by lr."""
    moved = trained(lambda ps: optim.Adan(ps, lr=0.1, eps=0.0), steps=1, gradient=lambda w, t: draw(7))
    equal((moved - draw(0)).abs(), torch.full(SHAPE, 0.1, dtype=torch.float64))


def quadratic(make, curvature: Tensor, steps: int = 1) -> Tensor:
    """The weights after steps on sum curvature w^2 / 2, from 1."""
    p = Parameter(torch.ones_like(curvature))
    optimizer = make([p])

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (curvature * p * p).sum() / 2
        loss.backward()
        return loss.detach()

    for _ in range(steps):
        optimizer.step(closure)
    return p.detach()


CURVATURE = torch.tensor([1e-3, 1.0, 1e3], dtype=torch.float64)


def test_adahessian_takes_newtons_step_on_a_quadratic():
    """A diagonal Hessian is found exactly, whatever z: with lr 1 and no eps the first step ends at the minimum."""
    equal(quadratic(lambda ps: optim.AdaHessian(ps, lr=1.0, eps=0.0), CURVATURE), torch.zeros_like(CURVATURE))
    halfway = quadratic(lambda ps: optim.AdaHessian(ps, lr=0.5, eps=0.0), CURVATURE)
    equal(halfway, torch.full_like(CURVATURE, 0.5))


def test_without_its_power_adahessian_is_momentum():
    slow = quadratic(lambda ps: optim.AdaHessian(ps, lr=1e-4, eps=0.0, hessian_power=0.0), CURVATURE)
    equal(slow, 1 - 1e-4 * CURVATURE)


def test_no_entry_of_sophias_step_is_longer_than_the_rate():
    make = partial(optim.Sophia, lr=0.01, weight_decay=0.0, estimator="hutchinson", update_period=1)
    moved = (quadratic(make, CURVATURE) - 1).abs()
    assert (moved <= 0.01 + 1e-12).all()
    equal(quadratic(make, 1e3 * CURVATURE), quadratic(make, CURVATURE))  # m and h have one scale
