"""Optimizers on a real GPU: what the fake tensors of tests/optim promise, and a step inside a CUDA graph."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch.nn import Parameter

from tests.optim.table import NAMES, ROWS
from tests.optim.test_capturable import CAPTURED
from tests.optim.test_capturable import build as with_rate_on_device
from tests.optim.test_host_reads import READERS

pytestmark = pytest.mark.gpu

SHAPES = [(4, 3, 3, 3), (6, 5), (5,), ()]
WARM, MORE = 3, 4  # steps before what is looked at: they make the state; and after
WAITS = READERS | dict.fromkeys(("shampoo", "soap"), "torch.linalg.eigh waits")


def drawn(seed: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draw).cuda() for shape in SHAPES]


def closure_of(params: list[Parameter], goals: list[torch.Tensor]) -> Callable[[], torch.Tensor]:
    """A quadratic, its gradients computed by hand."""

    def closure() -> torch.Tensor:
        gaps = [p.detach() - goal for p, goal in zip(params, goals, strict=True)]
        for p, gap in zip(params, gaps, strict=True):
            p.grad = gap
        return torch.stack([gap.square().sum() / 2 for gap in gaps]).sum()

    return closure


def start(name: str, **more: object) -> tuple[list[Parameter], Callable[[], object]]:
    """Weights, and a step that has been taken WARM times."""
    params = [Parameter(x) for x in drawn(0)]
    optimizer, closure = with_rate_on_device(name, params, **more), closure_of(params, drawn(1))
    for _ in range(WARM):
        optimizer.step(closure)
    return params, lambda: optimizer.step(closure)


@pytest.mark.filterwarnings("ignore:.*no param group with weights")
@pytest.mark.parametrize("name", [name for name in NAMES if name in CAPTURED])
def test_a_cuda_graph_holds_a_step(name: str) -> None:
    """Its replays are the eager steps, bit for bit: the same kernels, in the same order."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        captured, step = start(name, capturable=True)
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    eager, one = start(name, capturable=True)
    for _ in range(MORE):
        graph.replay()
        one()
    torch.cuda.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(captured, eager, strict=True))


@pytest.fixture
def waiting_is_an_error() -> Iterator[None]:
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.usefixtures("waiting_is_an_error")
@pytest.mark.filterwarnings("ignore:.*no param group with weights", "ignore:Synchronization debug mode")
@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("name", [n for n in NAMES if n not in WAITS and n not in ("adahessian", "sophia")])
def test_a_step_waits_for_nothing(name: str, foreach: bool) -> None:
    _, step = start(name, foreach=foreach)
    torch.cuda.set_sync_debug_mode("error")
    for _ in range(MORE):
        step()


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.is_chain and name in NAMES])
def test_a_grad_scaler_skips_what_overflowed(name: str) -> None:
    params = [Parameter(x) for x in drawn(0)]
    optimizer, scaler = ROWS[name].build(params), torch.amp.GradScaler("cuda", init_scale=1024.0)
    scaler.scale(torch.ones((), device="cuda"))
    if optimizer.evaluation.needs_closure:
        pytest.skip("needs a closure, which a scaler does not pass on")
    for p, gradient in zip(params, drawn(2), strict=True):
        p.grad = gradient * scaler.get_scale()
    params[0].grad.view(-1)[0] = torch.inf
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 512.0
    assert all(torch.equal(p, x) for p, x in zip(params, drawn(0), strict=True))
    for _ in range(2):  # SOAP's first makes its bases alone
        for p, gradient in zip(params, drawn(2), strict=True):
            p.grad = gradient * scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
    assert not torch.equal(params[0], drawn(0)[0])
    assert all(p.isfinite().all() for p in params)
