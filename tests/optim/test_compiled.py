"""compile=True: the same numbers to 1e-6, and no new compilation when the learning rate changes."""

import copy

import pytest
import torch
from torch._dynamo.utils import counters
from torch.nn import Parameter

import optim
from tests.optim.table import NAMES, ROWS

SHAPES = [(4, 3, 3, 3), (5,)]


def run(row, compiled: bool, steps: int = 5, shapes=SHAPES) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    params = [Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    optimizer = row.build(params, weight_decay=0.1, compile=compiled)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    for _ in range(steps):
        goals = [torch.randn(shape, generator=generator) for shape in shapes]
        optimizer.step(closure_of(params, goals))
        schedule.step()
    return [p.detach() for p in params]


def closure_of(params, goals):
    def closure() -> torch.Tensor:
        loss = torch.stack([((p - goal) ** 2).sum() for p, goal in zip(params, goals, strict=True)]).sum()
        if torch.is_grad_enabled():
            for p in params:
                p.grad = None
            loss.backward()
        return loss.detach()

    return closure


# Each costs seconds: of stages that are traced like others', the compilation is left to `make test-extras`.
ALIKE = {"lion", "cautious", "mars", "prodigy", "schedule_free_adamw", "soap", "adahessian", "sophia"}
TRACED = [pytest.param(name, marks=pytest.mark.extras) if name in ALIKE else name for name in NAMES]


@pytest.mark.parametrize("name", TRACED)
def test_equals_eager_without_recompiling(name):
    row = ROWS[name]
    expected = run(row, compiled=False)
    counters.clear()
    for x, y in zip(run(row, compiled=True), expected, strict=True):
        assert (x - y).abs().max() <= 1e-6 * y.abs().max()
    assert counters["stats"]["unique_graphs"] == len(SHAPES)


@pytest.mark.parametrize("name", ["sing", "adamsrt"])
def test_sizes_are_free_in_a_trace(name):
    """Equal sizes and others, more and fewer rows than columns; a size of 1 is a form of its own."""
    shapes = [
        (8, 8, 3, 3),
        (4, 8, 5, 3),
        (70, 2, 2, 2),
        (5,),
        (33,),
        (3, 7),
        (7, 3),
        (9, 4, 1, 1),
        (3, 40, 1, 1),
        (6, 1, 1, 1),
    ]
    expected = run(ROWS[name], compiled=False, shapes=shapes)
    counters.clear()
    for x, y in zip(run(ROWS[name], compiled=True, shapes=shapes), expected, strict=True):
        assert (x - y).abs().max() <= 1e-6 * y.abs().max()
    assert counters["stats"]["unique_graphs"] == len({tuple(size == 1 for size in shape) for shape in shapes})


@pytest.mark.parametrize("name", ["sing", "adamp", "lookahead", "muon"])
@pytest.mark.parametrize("capturable", [False, True])
def test_a_list_at_once_as_on_a_gpu(name, capturable, monkeypatch):
    """One function for tensors of several shapes, of which one misses the first step; a new rate compiles nothing."""
    monkeypatch.setattr("optim.compiled.steps_whole", lambda bucket: True)
    functions = []

    def traced(kernel, **_):
        functions.append(kernel)
        return kernel if name != "sing" else compiled(kernel, fullgraph=True)

    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", traced)

    def trained(compile: bool) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(1)
        params = [Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
        optimizer = ROWS[name].build(params, weight_decay=0.1, compile=compile, capturable=capturable, foreach=True)
        for step in range(5):
            goals = [torch.randn(shape, generator=generator) for shape in SHAPES]
            params[1].requires_grad_(step > 0)
            optimizer.step(closure_of(params, goals))
            optimizer.param_groups[0]["lr"] *= 0.9
        return [p.detach() for p in params]

    for x, y in zip(trained(compile=True), trained(compile=False), strict=True):
        assert (x - y).abs().max() <= 1e-6 * y.abs().max()
    assert len(functions) == 2  # of one tensor, and of both


@pytest.mark.parametrize("turn", [sorted, lambda names: sorted(names, reverse=True)])
def test_a_state_in_another_order_steps_the_same(monkeypatch, turn):
    """Of two tensors of one shape, one resumed from a store that orders its keys, and one new."""
    monkeypatch.setattr(torch, "compile", lambda kernel, **_: kernel)

    def trained(compiled: bool) -> torch.Tensor:
        old, new = (Parameter(torch.linspace(-end, end, 16).view(4, 4)) for end in (1.0, -1.0))
        optimizer = optim.LookAhead([old, new], lr=0.1)
        for _ in range(3):
            optimizer.step(closure_of([old], [torch.full((4, 4), 0.3)]))
        saved = copy.deepcopy(optimizer.state_dict())
        saved["state"] = {key: {n: state[n] for n in turn(state)} for key, state in saved["state"].items()}
        optimizer = optim.LookAhead([old, new], lr=0.1, compile=compiled)
        optimizer.load_state_dict(saved)
        for _ in range(4):
            optimizer.step(closure_of([old, new], [torch.full((4, 4), 0.3)] * 2))
        return torch.cat([old, new]).detach()

    torch.testing.assert_close(trained(compiled=True), trained(compiled=False), rtol=1e-5, atol=1e-6)


def test_buffers_of_another_dtype_are_traced_apart(monkeypatch):
    """As they are where a float64 net's state is loaded for a float32 net: the traces have no guards."""
    traces = []
    monkeypatch.setattr(torch, "compile", lambda kernel, **_: traces.append(kernel) or kernel)
    params = [Parameter(torch.ones(3)) for _ in range(2)]
    optimizer = optim.SING(params, lr=0.1, compile=True)
    optimizer.step(closure_of(params, [torch.zeros(3)] * 2))
    assert len(traces) == 1
    state = optimizer.state[params[0]]
    state["adam.exp_avg"] = state["adam.exp_avg"].double()
    optimizer.step(closure_of(params, [torch.zeros(3)] * 2))
    assert len(traces) == 2
