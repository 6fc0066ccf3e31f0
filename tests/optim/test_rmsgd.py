"""RMSGD against its plain loop, with scripted and with true stable ranks; its state, groups and schedules."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import Parameter

from optim import RMSGD
from optim import rmsgd as rank
from optim.evbmf import analyse

LR, BETA, ALPHA, WD = 0.03, 0.9, 0.8, 0.01
SHAPES = {"bias0": (3,), "conv": (6, 3, 3, 3), "norm": (6,), "pointwise": (4, 6, 1, 1), "linear": (5, 4), "bias": (5,)}


def rates_by_hand(variant, script, zeta=1.0, step_size=0, gamma=1.0, beta=BETA):
    """eta after each epoch, for one analysed layer, in the letters of the paper and of the two codes."""
    eta = {"text": LR, "paper_branch": 0.0, "package": LR}[variant]
    floor = {"text": 0.0, "paper_branch": 1e-10, "package": 0.0}[variant]
    not_ready, last, etas = True, 0.0, []
    for epoch, s in enumerate(script):
        if variant == "text":
            inc = s - last
        elif epoch == 0:
            inc = LR
        else:
            inc = s - last
            if not_ready and np.isclose(s, 0):
                inc = (LR - beta * eta) / zeta if variant == "package" else LR - beta * eta
            else:
                not_ready = False
        if step_size and epoch > 0 and epoch % step_size == 0:
            zeta *= gamma
            if variant == "package":
                eta *= gamma
        eta, last = max(beta * eta + zeta * inc, floor), s
        etas.append(eta)
    return etas


def params(dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    return [Parameter(torch.randn(shape, generator=draw, dtype=dtype)) for shape in SHAPES.values()]


def noise(step):
    draw = torch.Generator().manual_seed(100 + step)
    return [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in SHAPES.values()]


def steps(optimizer, weights, count, first=0):
    for step in range(first, first + count):
        for p, g in zip(weights, noise(step), strict=True):
            p.grad = g.to(p.dtype)
        optimizer.step()


def scripted(monkeypatch, *values):
    """Stable ranks as given, one an epoch, in place of EVBMF's."""
    left = iter(values)
    epoch = [next(left)]
    monkeypatch.setattr(rank, "analyse", lambda w, scale: rank_of(epoch[0]))
    return lambda: epoch.__setitem__(0, next(left, 0.0))


def rank_of(s):
    from optim.evbmf import Spectrum

    return Spectrum(0.0, s, 0.0, 0.0, s, 0.0)


def rates(optimizer):
    return [float(s["rank.rate"]) * g["lr_0"] for _, s, g in optimizer.stages[0].entries(optimizer)]


SCRIPTS = [(0.0, 0.0, 0.1, 0.15, 0.02, 0.0, 0.3), (0.2, 0.0, 0.0, 0.5, 0.5, 0.1, 0.0), (0.0, 0.05, 0.0, 0.0, 0.4)]


@pytest.mark.parametrize("decay", [{}, {"zeta": 0.7, "step_size": 2, "gamma": 0.9}])
@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("variant", ["text", "paper_branch", "package"])
def test_the_recursion_on_a_scripted_rank(monkeypatch, variant, script, decay):
    turn = scripted(monkeypatch, *script)
    weights = [Parameter(torch.ones(3, 3, 3, 3, dtype=torch.float64))]
    optimizer = RMSGD(weights, lr=LR, beta=BETA, variant=variant, **decay)
    weights[0].grad = torch.zeros_like(weights[0])
    optimizer.step()
    for expected in rates_by_hand(variant, script, **decay):
        optimizer.epoch_end()
        assert rates(optimizer) == [pytest.approx(expected, rel=1e-12)]
        turn()


def loop(variant, epochs, linear=False, p=1):
    """Algorithm 1 in float64: epochs of 4 steps, the authors' order of parameters, one rate each."""
    w = [x.detach().clone() for x in params()]
    eta, momentum = [LR] * len(w), [torch.zeros_like(x) for x in w]
    history = {i: [] for i in range(len(w))}
    for epoch in range(epochs):
        for step in range(4):
            for i, g in enumerate(noise(4 * epoch + step)):
                g = g + WD * w[i]
                if variant == "text":
                    momentum[i] = ALPHA * momentum[i] - eta[i] * g
                    w[i] = w[i] + momentum[i]
                else:
                    momentum[i] = ALPHA * momentum[i] + g
                    w[i] = w[i] - eta[i] * momentum[i]
        for i, name in enumerate(SHAPES):
            seen = (
                name == "conv" or (name == "pointwise" and variant != "paper_branch") or (name == "linear" and linear)
            )
            if seen:
                found = analyse(w[i])
                history[i].append(found.stable_rank if p == 2 else found.code_stable_rank)
                eta[i] = rates_by_hand(variant, history[i])[-1]
            elif i:
                eta[i] = eta[i - 1]
    return w, eta


@pytest.mark.parametrize("more", [{}, {"linear": True, "p": 2}])
@pytest.mark.parametrize("variant", ["text", "paper_branch", "package"])
def test_equals_its_loop(variant, more):
    weights = params()
    optimizer = RMSGD(weights, lr=LR, momentum=ALPHA, beta=BETA, weight_decay=WD, variant=variant, **more)
    for epoch in range(5):
        steps(optimizer, weights, 4, 4 * epoch)
        optimizer.epoch_end()
    expected, eta = loop(variant, 5, **more)
    assert eta[0] == LR
    assert len({*eta}) > 1
    np.testing.assert_allclose(rates(optimizer), eta, rtol=1e-10)
    for p, w in zip(weights, expected, strict=True):
        torch.testing.assert_close(p.detach(), w, rtol=1e-10, atol=1e-12)


def test_rates_resume_with_the_same_bits():
    weights = params(torch.float32)
    optimizer = RMSGD(weights, linear=True)
    steps(optimizer, weights, 3)
    optimizer.epoch_end()
    copies = [Parameter(p.detach().clone()) for p in weights]
    other = RMSGD(copies, linear=True)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, its in ((optimizer, weights), (other, copies)):
        steps(one, its, 3, 3)
        one.epoch_end()
        steps(one, its, 2, 6)
    assert all(torch.equal(p, q) for p, q in zip(weights, copies, strict=True))


def test_several_groups_are_one_list_of_layers():
    weights, split = params(), params()
    one = RMSGD(weights, linear=True)
    two = RMSGD([{"params": split[:3]}, {"params": split[3:]}], linear=True)
    for optimizer, its in ((one, weights), (two, split)):
        steps(optimizer, its, 2)
        optimizer.epoch_end()
        steps(optimizer, its, 2, 2)
    assert all(torch.equal(p, q) for p, q in zip(weights, split, strict=True))


def test_a_schedule_scales_the_rates():
    plain, slowed = params(), params()
    one, other = RMSGD(plain, momentum=0.0), RMSGD(slowed, momentum=0.0)
    for optimizer, its in ((one, plain), (other, slowed)):
        steps(optimizer, its, 2)
        optimizer.epoch_end()
    before = [p.detach().clone() for p in plain]
    other.param_groups[0]["lr"] *= 0.25
    steps(one, plain, 1, 2)
    steps(other, slowed, 1, 2)
    for start, p, q in zip(before, plain, slowed, strict=True):
        torch.testing.assert_close(q.detach() - start, 0.25 * (p.detach() - start), rtol=1e-9, atol=1e-14)


def test_a_weight_that_is_not_finite_keeps_its_last_rank(monkeypatch):
    turn = scripted(monkeypatch, 0.2, float("nan"), 0.3)
    weights = [Parameter(torch.ones(3, 3, 3, 3, dtype=torch.float64))]
    optimizer = RMSGD(weights, lr=LR, beta=BETA)
    weights[0].grad = torch.zeros_like(weights[0])
    optimizer.step()
    for expected in rates_by_hand("paper_branch", (0.2, 0.2, 0.3)):
        optimizer.epoch_end()
        assert rates(optimizer) == [pytest.approx(expected, rel=1e-12)]
        turn()


def test_metrics_tell_rates_and_rank():
    weights = params()
    optimizer = RMSGD(weights, linear=True)
    assert optimizer.metrics() == {}
    with torch.no_grad():
        weights[1] += 20 * torch.linspace(-1, 1, 27, dtype=torch.float64).view(1, 3, 3, 3)
    steps(optimizer, weights, 1)
    optimizer.epoch_end()
    metrics = optimizer.metrics()
    assert metrics["rate_min"] == pytest.approx(min(rates(optimizer)))
    assert metrics["rate_max"] == pytest.approx(max(rates(optimizer)))
    chosen = [analyse(w) for w, name in zip(weights, SHAPES, strict=True) if name in ("conv", "linear")]
    found = [spectrum.code_stable_rank for spectrum in chosen if spectrum.rank]
    assert 0 < len(found) < len(chosen)
    assert metrics["stable_rank"] == pytest.approx(np.mean(found))
    assert metrics["without_structure"] == len(chosen) - len(found)
