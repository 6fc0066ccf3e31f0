"""SAM, ASAM and SLS against plain loops, and what their closure sees."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import Parameter

from optim import SAM, SLS, AdamP
from optim.evaluations import ascent
from tests.optim.problems import Closure, gradient, loss, weights

STEPS = 8  # longer runs of a search that overshoots amplify rounding beyond 1e-10


def run(optimizer, params, steps=STEPS):
    closure, losses = Closure(params), []
    for closure.step in range(steps):
        losses.append(float(optimizer.step(closure)))
    return [p.detach().numpy() for p in params], losses, closure


def sam_by_hand(rho, adaptive, mu=0.9, lr=0.1, wd=0.01):
    w, losses = [p.detach().numpy() for p in weights()], []
    buffers = [0.0 for _ in w]
    for step in range(STEPS):
        losses.append(loss(w, step))
        g = gradient(w, step)
        scaled = [np.abs(x) * a if adaptive else a for x, a in zip(w, g, strict=True)]
        norm = math.sqrt(sum((s * s).sum() for s in scaled)) + 1e-12
        e = [rho * (x * x if adaptive else 1.0) * a / norm for x, a in zip(w, g, strict=True)]
        g = gradient([x + y for x, y in zip(w, e, strict=True)], step)
        for i, x in enumerate(w):
            buffers[i] = mu * buffers[i] + g[i] + wd * x
            w[i] = x - lr * buffers[i]
    return w, losses


@pytest.mark.parametrize(("rho", "adaptive"), [(0.05, False), (0.5, True)])
def test_sam_equals_its_loop(rho, adaptive):
    params = weights()
    optimizer = SAM(params, lr=0.1, weight_decay=0.01, rho=rho, adaptive=adaptive)
    ours, losses, closure = run(optimizer, params)
    expected, expected_losses = sam_by_hand(rho, adaptive)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-10)
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    assert (closure.with_gradient, closure.without) == (2 * STEPS, 0)


def test_sam_puts_the_weights_back_bit_by_bit():
    params = weights(torch.float32)
    before = [p.detach().clone() for p in params]
    run(SAM(params, lr=0.0, rho=0.3), params, steps=3)
    assert all(torch.equal(p, q) for p, q in zip(params, before, strict=True))


def test_sam_puts_the_weights_back_when_the_closure_fails():
    params = weights()
    before = [p.detach().clone() for p in params]
    closure = Closure(params)

    def failing():
        if closure.with_gradient:
            raise RuntimeError("out of memory")
        return closure()

    with pytest.raises(RuntimeError, match="out of memory"):
        SAM(params).step(failing)
    assert all(torch.equal(p, q) for p, q in zip(params, before, strict=True))


def test_a_group_has_its_own_rho():
    params = weights()
    seen = []
    optimizer = SAM([{"params": params[:2], "rho": 0.0}, {"params": params[2:]}], rho=0.5)
    before = [p.detach().clone() for p in params]
    closure = Closure(params)

    def spying():
        seen.append([float((p - q).detach().norm()) for p, q in zip(params, before, strict=True)])
        return closure()

    optimizer.step(spying)
    assert seen[0] == [0, 0, 0, 0]
    assert seen[1][:2] == [0, 0]
    assert min(seen[1][2:]) > 0


def test_sam_goes_over_any_chain():
    def by(evaluation):
        params = weights()
        return run(AdamP(params, lr=0.02, evaluation=evaluation), params)

    with_sam, with_none, without = by(ascent(0.1)), by(ascent(0.0)), by(None)
    for a, b, c in zip(with_sam[0], with_none[0], without[0], strict=True):
        assert not np.array_equal(a, c)
        np.testing.assert_array_equal(b, c)


def test_what_the_closure_is_told():
    params = weights()
    local, told = SAM(params, ascent="local", batch_norm_statistics="all"), []
    closure = Closure(params)

    def listening():
        told.append(local.sync_gradients)
        return closure()

    local.step(listening)
    assert told == [False, True]
    assert local.sync_gradients
    assert local.batch_norm_statistics == "all"
    assert SAM(params).batch_norm_statistics == "first"


@pytest.mark.parametrize("make", [SAM, SLS])
def test_no_closure_is_a_mistake_of_one_line(make):
    params = weights()
    with pytest.raises(ValueError, match=rf"^{make.__name__}.step needs a closure[^\n]*$"):
        make(params).step()


def sls_by_hand(rule="armijo", reset="increase", lr=1.0, n=5, c=0.1, trials=100):
    w, eta, etas, losses = [p.detach().numpy() for p in weights()], lr, [], []
    for step in range(STEPS):
        f, g = loss(w, step), gradient(w, step)
        squares = sum((x * x).sum() for x in g)
        eta = {"increase": eta * 2.0 ** (1 / n), "keep": eta, "initial": lr}[reset]
        for _ in range(trials):
            value = loss([x - eta * a for x, a in zip(w, g, strict=True)], step)
            enough, too_little = value <= f - c * eta * squares, value < f - (1 - c) * eta * squares
            if not enough:
                eta *= 0.9
            elif rule == "goldstein" and too_little:
                eta = min(2.0 * eta, 10.0)
            else:
                break
        else:
            raise AssertionError("no step was found")
        w = [x - eta * a for x, a in zip(w, g, strict=True)]
        etas.append(eta)
        losses.append(f)
    return w, etas, losses


@pytest.mark.parametrize("lr", [0.3, 4.0])
@pytest.mark.parametrize("reset", ["increase", "keep", "initial"])
@pytest.mark.parametrize("rule", ["armijo", "goldstein"])
def test_sls_equals_its_loop(rule, reset, lr):
    expected, etas, expected_losses = sls_by_hand(rule, reset, lr)
    params = weights()
    optimizer = SLS(params, lr=lr, n_batches_per_epoch=5, rule=rule, reset=reset)
    closure = Closure(params)
    for closure.step in range(STEPS):
        assert float(optimizer.step(closure)) == pytest.approx(expected_losses[closure.step], rel=1e-10)
        assert optimizer.param_groups[0]["applied"] * lr == pytest.approx(etas[closure.step], rel=1e-12)
    for p, x in zip(params, expected, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), x, rtol=1e-10, atol=1e-12)
    assert closure.with_gradient == STEPS
    assert closure.without >= STEPS
    assert lr == 0.3 or min(etas) < lr


def test_sls_takes_the_last_resort_where_no_step_will_do():
    p = Parameter(torch.ones((), dtype=torch.float64))

    def uphill():  # the loss says nothing good of any step
        if torch.is_grad_enabled():
            p.grad = torch.ones_like(p)
            return torch.tensor(0.0)
        return torch.tensor(1.0)

    optimizer = SLS([p], lr=2.0)
    optimizer.step(uphill)
    assert float(p.detach()) == pytest.approx(1 - 1e-6, abs=1e-12)


def test_sls_does_not_move_where_the_gradient_is_nothing():
    p = Parameter(torch.ones(3))
    calls = []

    def flat():
        calls.append(torch.is_grad_enabled())
        if torch.is_grad_enabled():
            p.grad = torch.full_like(p, 1e-9)
        return torch.tensor(0.0)

    optimizer = SLS([p], lr=2.0)
    optimizer.step(flat)
    assert torch.equal(p.detach(), torch.ones(3))
    assert calls == [True]
    assert optimizer.param_groups[0]["scale"] == 1.0


def test_sls_resumes_its_step():
    params = weights()
    optimizer = SLS(params, lr=20.0)
    run(optimizer, params, 4)
    copies = [Parameter(p.detach().clone()) for p in params]
    other = SLS(copies, lr=20.0)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for a, b in zip(run(optimizer, params, 6)[0], run(other, copies, 6)[0], strict=True):
        np.testing.assert_array_equal(a, b)
