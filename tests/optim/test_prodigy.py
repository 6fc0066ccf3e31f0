"""Prodigy equals its plain loop over all tensors, and finds a rate from a d_0 far too small."""

import numpy as np
import pytest
import torch
from torch.nn import Parameter

import optim
from tests.optim.problems import Closure, gradient, weights

OPTIONS = [
    {},
    {"bias_correction": True, "growth_rate": 1.5, "d_coef": 2.0},
    {"safeguard_warmup": True, "decay": "coupled"},
]


def loop(options, steps, rate):
    """The authors' code in float64 numpy; `rate` gives lr at a step."""
    h = {"bias_correction": False, "growth_rate": np.inf, "d_coef": 1.0, "safeguard_warmup": False, **options}
    b1, b2, eps, wd, d0 = 0.8, 0.95, 1e-8, 0.1, 1e-3
    w = [p.detach().numpy().copy() for p in weights()]
    first, zeros = [x.copy() for x in w], [np.zeros_like(x) for x in w]
    m, v, s = ([x.copy() for x in zeros] for _ in range(3))
    d = d_max = d0
    numerator = 0.0
    for t in range(1, steps + 1):
        g = gradient(w, t - 1)
        if h.get("decay") == "coupled":
            g = [a + wd * x for a, x in zip(g, w, strict=True)]
        dlr = d * rate(t - 1) * (np.sqrt(1 - b2**t) / (1 - b1**t) if h["bias_correction"] else 1)
        old = d
        numerator = np.sqrt(b2) * numerator
        for i in range(len(w)):
            numerator += d / d0 * dlr * np.sum(g[i] * (first[i] - w[i]))
            m[i] = b1 * m[i] + d * (1 - b1) * g[i]
            v[i] = b2 * v[i] + d * d * (1 - b2) * g[i] ** 2
            s[i] = np.sqrt(b2) * s[i] + d / d0 * (d if h["safeguard_warmup"] else dlr) * g[i]
        guess = h["d_coef"] * numerator / sum(np.abs(x).sum() for x in s)
        d = max(d, guess) if d == d0 else d
        d_max = max(d_max, guess)
        d = min(d_max, d * h["growth_rate"])
        for i in range(len(w)):
            shrink = 1 if h.get("decay") == "coupled" else 1 - wd * dlr
            w[i] = shrink * w[i] - dlr * m[i] / (np.sqrt(v[i]) + d * eps)
    return w, d, old


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("foreach", [False, True])
def test_equals_its_loop(options, foreach):
    params = weights()
    groups = [{"params": params[:2]}, {"params": params[2:]}]
    optimizer = optim.Prodigy(groups, betas=(0.8, 0.95), weight_decay=0.1, d0=1e-3, foreach=foreach, **options)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    closure = Closure(params)
    for step in range(50):
        closure.step = step
        optimizer.step(closure)
        schedule.step()
    expected, d, _ = loop(options, 50, rate)
    for a, b in zip(params, expected, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b, rtol=1e-10, atol=1e-12)
    assert optimizer.metrics()["d"] == pytest.approx(d, rel=1e-10)
    assert d > 2e-3


def rate(step: int) -> float:
    return 1 - step / 100


def test_the_rate_is_found_from_far_below():
    """Theorem 1: d grows to the size of the distance; here |w_0 - w*| = 3 in each of 20 entries."""
    w = Parameter(torch.full((20,), 3.0, dtype=torch.float64))
    optimizer = optim.Prodigy([w], d0=1e-6)
    for _ in range(300):
        w.grad = w.detach().clone()
        optimizer.step()
    assert w.detach().abs().max() < 0.3
    assert 0.1 < optimizer.metrics()["d"] < 30
