"""capturable=True: no number is read, not even the count of steps, so that a CUDA graph can hold a step.

Shown without a GPU: on fake CUDA tensors, where a read raises; by the numbers, which follow count and rate as they do
where both are read; and by torch.compile over `step`, which makes one graph of it and traces it once.
"""

import re

import pytest
import torch
from torch._dynamo.utils import counters
from torch.nn import Parameter

from optim import AdamP
from tests.fake_cuda import FakeTensorMode
from tests.optim.table import NAMES, ROWS
from tests.optim.test_compiled import closure_of

SHAPES = [(4, 3, 3, 3), (6, 5), (5,), ()]
STEPS = 7  # past the first that RAdam's factor and LookAhead's average change
REFUSED = {  # said in docs/optimizers.md, by checks.py
    **dict.fromkeys(("adahessian", "sophia"), "its random numbers are drawn anew by the count"),
    "prodigy": "its distance is a float of the param groups, saved with them: one read a step, for all tensors",
    "shampoo": "its roots are taken when the count says so, and torch.linalg.eigh waits",
    "sls": "its search compares losses",
    "soap": "its bases are taken when the count says so, and torch.linalg.eigh waits",
}
CAPTURED = [name for name, row in ROWS.items() if row.is_chain and name.split()[0] not in REFUSED]
ASK_TWICE = ("sam", "asam")  # need a closure, whose backward pass torch.compile leaves out of its graphs


def drawn(draw: torch.Generator) -> list[torch.Tensor]:
    return [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in SHAPES]


def build(name: str, params: list[Parameter], **more):
    """Its rate is a tensor where it is capturable."""
    optimizer = ROWS[name].build(params, weight_decay=0.1, **more)
    group = optimizer.param_groups[0]
    if optimizer.capturable:
        group["lr"] = torch.tensor(group["lr"], dtype=torch.float64, device=params[0].device)
    return optimizer


def weights(name: str, **more) -> list[torch.Tensor]:
    """After some steps at a falling rate; one tensor misses its first."""
    draw = torch.Generator().manual_seed(1)
    params = [Parameter(x) for x in drawn(draw)]
    optimizer = build(name, params, **more)
    for step in range(STEPS):
        closure, late = closure_of(params, drawn(draw)), params[1]
        late.requires_grad_(step > 0)
        optimizer.step(closure)
        optimizer.param_groups[0]["lr"] *= 0.9
    return [p.detach() for p in params]


@pytest.mark.filterwarnings("ignore:.*no param group with weights")
@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("name", CAPTURED)
def test_steps_are_those_that_read_their_count(name, foreach):
    for x, y in zip(weights(name, capturable=True, foreach=foreach), weights(name, foreach=foreach), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in NAMES if name in CAPTURED])
def test_nothing_is_read_from_the_device(name):
    with FakeTensorMode(), torch.device("cuda"):
        params = [Parameter(torch.randn(shape)) for shape in SHAPES]

        def closure() -> torch.Tensor:
            for p in params:
                p.grad = torch.randn(p.shape)
            return torch.zeros(())

        optimizer = build(name, params, capturable=True)
        for _ in range(STEPS):
            optimizer.step(closure)
        assert {x.device.type for state in optimizer.state.values() for x in state.values()} == {"cuda"}


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_others_are_refused_in_one_line(name, reason):
    with pytest.raises(ValueError, match=re.escape(f"is not capturable: {reason}") + "$"):
        ROWS[name].build([Parameter(torch.ones(2))], capturable=True)


FAST = ("adamp", "sing_lookahead")  # the others are traced like them, each for seconds
TRACED = [name for name in NAMES if name in CAPTURED and name not in ASK_TWICE]


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.extras) for n in TRACED])
def test_a_compiled_step_is_one_graph(name):
    """And one at its first step, where the state is made; a new rate and count compile nothing."""
    graphs = []
    torch._dynamo.reset()
    counters.clear()

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    found = []
    for compiled in (False, True):
        draw = torch.Generator().manual_seed(1)
        params = [Parameter(x) for x in drawn(draw)]
        for p, grad in zip(params, drawn(draw), strict=True):
            p.grad = grad
        optimizer = build(name, params, capturable=True, foreach=True)
        step = torch.compile(optimizer.step, backend=backend) if compiled else optimizer.step
        for _ in range(STEPS):
            step()
            optimizer.param_groups[0]["lr"].mul_(0.9)
        found.append([p.detach() for p in params])
    assert len(graphs) == 2
    assert not counters["graph_break"]
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)


def test_with_compile_numbers_are_those_of_the_step(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda kernel, **_: kernel)
    for x, y in zip(weights("sing", capturable=True, compile=True), weights("sing"), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-12)


def test_states_go_from_one_to_the_other():
    params = [Parameter(torch.ones(3, 2))]
    plain, captured = AdamP(params), AdamP(params, capturable=True)
    for optimizer, other in ((plain, captured), (captured, plain)):
        params[0].grad = torch.ones(3, 2)
        optimizer.step()
        other.load_state_dict(optimizer.state_dict())
        assert other.state[params[0]]["step"] == optimizer.state[params[0]]["step"]
