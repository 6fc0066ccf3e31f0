"""Every optimizer equals its plain float64 loop over 50 steps."""

import inspect

import numpy as np
import pytest
import torch

from tests.optim.table import ROWS, TESTED_ELSEWHERE

# name: shape, and what its gradient is like: along the weight, free of it by row, or free of it as a whole.
TENSORS = {
    "conv": ((6, 3, 3, 3), "by row"),
    "conv along": ((5, 2, 3, 3), "along"),
    "conv 1x1": ((6, 4, 1, 1), "by row"),
    "depthwise": ((5, 1, 3, 3), "whole"),
    "depthwise 1x1": ((4, 1, 1, 1), "along"),
    "linear": ((4, 7), "whole"),
    "bias": ((4,), "along"),
    "scale": ((8,), "along"),
    "scalar": ((), "along"),
}
STEPS = 50


def gradient(w: np.ndarray, noise: np.ndarray, kind: str) -> np.ndarray:
    """Noise with a cosine to the weight far from AdamP's threshold on either side."""
    if kind == "along":
        return noise + 0.7 * w * np.linalg.norm(noise) / np.linalg.norm(w)
    rows, free = w.reshape((w.shape[0], -1) if kind == "by row" else (1, -1)), noise.copy()
    parts = free.reshape(rows.shape)
    parts -= rows * (rows * parts).sum(1, keepdims=True) / (rows * rows).sum(1, keepdims=True)
    return free


def setting(full: bool, step: int, index: int) -> dict[str, float | bool]:
    """Rate, decay and missing gradients of one tensor at one step: constant, or everything at once."""
    if not full:
        return {"factor": 1.0, "wd": 0.0, "group": 0, "missing": False}
    return {
        "factor": 0.5 * (1 + np.cos(np.pi * step / STEPS)) + 0.05,
        "wd": 0.05 if index % 2 else 0.2,
        "group": index % 2,
        "missing": (step + index) % 9 == 4 or (index == 2 and step < 6),
    }


def draws(step: int) -> list[np.ndarray]:
    generator = np.random.default_rng(step)
    return [generator.standard_normal(shape) for shape, _ in TENSORS.values()]


def options(row) -> dict:
    """The keywords of a row over the defaults of its class."""
    signature = inspect.signature(row.make).parameters
    defaults = {k: p.default for k, p in signature.items() if p.default is not inspect.Parameter.empty}
    return defaults | {"decay": row.decay} | dict(row.group) | dict(row.keywords)


def loops(row, full: bool) -> list[np.ndarray]:
    h, weights, states = options(row), draws(0), [{} for _ in TENSORS]
    counts = [0] * len(TENSORS)
    for step in range(STEPS):
        for i, (noise, (_, kind)) in enumerate(zip(draws(step + 1), TENSORS.values(), strict=True)):
            at = setting(full, step, i)
            if at["missing"]:
                continue
            counts[i] += 1
            lr_0 = h["lr"] * (0.5 if at["group"] else 1.0)
            now = h | {"lr_0": lr_0, "lr": lr_0 * at["factor"], "wd": at["wd"]}
            weights[i] = row.loop(weights[i], gradient(weights[i], noise, kind), states[i], counts[i], now)
    return weights


def groups_of(params: list[torch.nn.Parameter], row, full: bool) -> list[dict]:
    if not full:
        return [{"params": params, "weight_decay": 0.0, **row.group}]
    first = {"params": params[::2], "weight_decay": 0.2, **row.group}
    second = {"params": params[1::2], "weight_decay": 0.05, "lr": 0.5 * row.keywords["lr"], **row.group}
    return [first, second]


def ours(row, full: bool, dtype: torch.dtype) -> list[np.ndarray]:
    params = [torch.nn.Parameter(torch.tensor(w, dtype=dtype)) for w in draws(0)]
    optimizer = row.make(groups_of(params, row, full), **row.keywords)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: setting(full, step, 0)["factor"])
    for step in range(STEPS):
        closure = closure_of(params, full, step)
        if step % 2:
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
        schedule.step()
    return [p.detach().double().numpy() for p in params]


def closure_of(params, full, step):
    """A linear loss whose gradients are the drawn ones; none for the tensors that miss theirs."""

    @torch.enable_grad()
    def closure() -> torch.Tensor:
        loss = torch.zeros((), dtype=params[0].dtype)
        for i, (p, noise, (_, kind)) in enumerate(zip(params, draws(step + 1), TENSORS.values(), strict=True)):
            p.grad = None
            if not setting(full, step, i)["missing"]:
                g = gradient(p.detach().double().numpy(), noise, kind)
                loss = loss + (p * torch.tensor(g, dtype=p.dtype)).sum()
        loss.backward()
        return loss.detach()

    return closure


def test_every_optimizer_has_a_loop():
    without = {name for name, row in ROWS.items() if row.loop is None}
    assert without == TESTED_ELSEWHERE.keys(), "write the plain loop in tests/optim/reference.py"


@pytest.mark.filterwarnings("ignore:.*no param group with weights")  # "none": the plain method
@pytest.mark.parametrize("full", [False, True], ids=["plain", "full"])
@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.loop])
def test_equals_its_loop(name, full):
    row = ROWS[name]
    expected = loops(row, full)
    for tensor, a, b in zip(TENSORS, ours(row, full, torch.float64), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12, err_msg=tensor)
    for tensor, a, b in zip(TENSORS, ours(row, full, torch.float32), expected, strict=True):
        assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max(), tensor
