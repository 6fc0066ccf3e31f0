"""AdaHessian and Sophia equal their plain loops; the estimates are those of the closure's own loss."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import Parameter
from torch.nn.functional import cross_entropy

import optim
from tests.optim.problems import Closure, gradient, weights
from tests.optim.test_peers import Peer

BETAS = (0.8, 0.95)


def hessian(w):
    """Of problems.loss, whose Hessian is diagonal: z (H z) is that diagonal for any z of entries 1 and -1."""
    return [np.cosh(x) / 5 for x in w]


def trained(make, steps=50, sign=1.0):
    params = weights()
    optimizer, closure = make(params), Closure(params, sign)
    for step in range(steps):
        closure.step = step
        optimizer.step(closure)
    return [p.detach().numpy() for p in params]


def loop(update, period, steps=50):
    w = [p.detach().numpy().copy() for p in weights()]
    states = [{"m": 0, "h": 0} for _ in w]
    for t in range(1, steps + 1):
        g, h = gradient(w, t - 1), hessian(w)
        for i, s in enumerate(states):
            s["m"] = BETAS[0] * s["m"] + (1 - BETAS[0]) * g[i]
            w[i] = update(w[i], s, h[i] if (t - 1) % period == 0 else None, t)
    return w


def adahessian(w, s, h, t, k=0.5):
    if h is not None:
        d = np.abs(h)
        d = np.broadcast_to(d.mean((2, 3), keepdims=True), d.shape) if d.ndim == 4 else d
        s["h"] = BETAS[1] * s["h"] + (1 - BETAS[1]) * d**2
    root = np.sqrt(s["h"] / (1 - BETAS[1] ** t)) ** k
    return w * (1 - 0.02 * 0.1) - 0.02 * s["m"] / (1 - BETAS[0] ** t) / (root + 1e-4)


def sophia(w, s, h, t):
    if h is not None:
        s["h"] = BETAS[1] * s["h"] + (1 - BETAS[1]) * h
    return w * (1 - 0.02 * 0.1) - 0.02 * np.clip(s["m"] / np.maximum(2.0 * s["h"], 1e-12), -1, 1)


@pytest.mark.parametrize("foreach", [False, True])
def test_adahessian_equals_its_loop(foreach):
    more = {"weight_decay": 0.1, "hessian_power": 0.5, "update_period": 1, "foreach": foreach}
    ours = trained(lambda ps: optim.AdaHessian(ps, lr=0.02, betas=BETAS, **more))
    for a, b in zip(ours, loop(adahessian, 1), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def sophia_of(params, **more):
    """With z of entries 1 and -1, at which the estimate is exact here."""
    drawn = {"hutchinson": {"update_period": 3}}
    return optim.Sophia(params, lr=0.02, betas=BETAS, weight_decay=0.1, gamma=2.0, evaluation=drawn, **more)


def test_sophia_equals_its_loop():
    for a, b in zip(trained(sophia_of), loop(sophia, 3), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    climbing = trained(lambda ps: sophia_of(ps, maximize=True), sign=-1.0)
    for a, b in zip(climbing, loop(sophia, 3), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("distribution", ["rademacher", "normal"])
def test_hutchinson_is_right_on_the_mean(distribution):
    """Of a Hessian with entries beside its diagonal, over many seeds."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    h, total = root @ root.T, torch.zeros(4, dtype=torch.float64)
    w = Parameter(torch.ones(4, dtype=torch.float64))
    evaluation = optim.curvature.hutchinson(1, distribution)
    chain = optim.Chain([w], ["adahessian"], lr=0.0, evaluation=evaluation)
    for evaluation.seed in range(500):
        evaluation.gradients(chain, lambda: quadratic(w, h))
        total += evaluation.estimates[w]
    torch.testing.assert_close(total / 500, h.diagonal(), rtol=0.2, atol=0.2)


def quadratic(w, h):
    with torch.enable_grad():
        loss = 0.5 * w @ h @ w
        w.grad = None
        loss.backward()
    return loss.detach()


def test_gauss_newton_is_right_on_the_mean():
    """For a linear net it is the diagonal of J^T (diag p - p p^T) J, over the batch's mean."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    w = Parameter(torch.randn(4, 3, generator=generator, dtype=torch.float64))
    p = (x @ w.T).softmax(1).detach()
    wanted = torch.einsum("bk,bi->ki", p * (1 - p), x * x) / len(x)
    total = torch.zeros_like(w)
    evaluation = optim.curvature.gauss_newton(1)
    chain = optim.Chain([w], ["sophia"], lr=0.0, evaluation=evaluation)
    for evaluation.seed in range(800):
        evaluation.gradients(chain, lambda: classified(w, x))
        total += evaluation.estimates[w]
    torch.testing.assert_close(total / 800, wanted, rtol=0.15, atol=0.01)


def classified(w, x):
    with torch.enable_grad():
        loss = cross_entropy(x @ w.T, torch.zeros(len(x), dtype=torch.long))
        w.grad = None
        loss.backward()
    return loss.detach()


def test_the_gradient_is_the_closures_own():
    """With an estimate or without one, accumulated or not."""
    torch.manual_seed(0)
    net, x, y = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)), torch.randn(8, 3), torch.arange(8) % 2

    def closure() -> torch.Tensor:
        net.zero_grad()
        pieces = [cross_entropy(net(a), b) / 2 for a, b in zip(x.chunk(2), y.chunk(2), strict=True)]
        for piece in pieces:
            piece.backward()
        return sum(pieces).detach()

    closure()
    plain = [p.grad.clone() for p in net.parameters()]
    for make in (optim.curvature.hutchinson, optim.curvature.gauss_newton):
        evaluation = make(1)
        evaluation.gradients(optim.Chain(net.parameters(), ["sophia"], lr=0.0, evaluation=evaluation), closure)
        assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), plain, strict=True))
        assert all(float(h.abs().sum()) > 0 for h in evaluation.estimates.values())


def test_a_closure_without_what_is_needed_is_one_line():
    w = Parameter(torch.ones(2))
    with pytest.raises(RuntimeError, match=r"^Sophia: the closure is to call loss.backward\(\) on a loss of [^\n]*$"):
        optim.Sophia([w]).step(lambda: quadratic(w, torch.eye(2)))
    with pytest.raises(RuntimeError, match=r"^AdaHessian: the closure is to call loss.backward\(\)$"):
        optim.AdaHessian([w]).step(lambda: torch.zeros(()))
    w.grad = torch.ones(2)
    with pytest.raises(RuntimeError, match=r"^sophia needs evaluation="):
        optim.Chain([w], ["sophia"], lr=0.1).step()


PEERS = {
    "adahessian": Peer(
        "pytorch_optimizer",
        lambda ps: optim.AdaHessian(ps, lr=0.05, weight_decay=0.1),
        lambda its, ps: its.AdaHessian(ps, lr=0.05, weight_decay=0.1, eps=1e-4),
    ),
    "sophia": Peer(
        "pytorch_optimizer",
        lambda ps: optim.Sophia(ps, lr=0.01, gamma=0.01, weight_decay=0.0, evaluation="hutchinson", eps=1e-14),
        lambda its, ps: its.SophiaH(
            ps, lr=1.0, p=0.01, betas=(0.965, 0.99), hessian_distribution="rademacher", update_period=1
        ),
        words=" (Sophia-H)",
    ),
}


@pytest.mark.extras
@pytest.mark.parametrize("name", PEERS)
def test_equals_the_implementation_of_others(name):
    """On a loss whose Hessian is diagonal, so that no random number matters."""
    peer, ends = PEERS[name], []
    theirs = pytest.importorskip(peer.package)
    for make in (peer.ours, partial(peer.theirs, theirs)):
        params = [p for p in weights() if p.ndim != 4]  # theirs does not average over kernels
        optimizer = make(params)
        for step in range(50):
            grads = torch.autograd.grad(cosh(params, step), params, create_graph=True)
            for p, g in zip(params, grads, strict=True):
                p.grad = g
            if isinstance(optimizer, optim.Chain):
                optimizer.step(partial(backward, params, step))
            else:
                optimizer.step()
        ends.append(params)
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def cosh(params, step):
    return sum(((1 + 0.1 * step % 3) * p.cosh() + p).sum() for p in params)


def backward(params, step):
    for p in params:
        p.grad = None
    loss = cosh(params, step)
    loss.backward()
    return loss.detach()
