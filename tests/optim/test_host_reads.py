"""On a GPU a step waits for nothing: no number is read from the device, and every tensor is on it.

Shown without one, with fake tensors on "cuda". Backward does not run there, so gradients are set by hand, and so are
the estimates of second-order methods. What a library call waits for within itself is not seen: torch.linalg.eigh does
(Shampoo when its roots are due, SOAP at its first step). The count of steps is on the CPU, where reading it is free.
"""

import pytest
import torch
from torch.nn import Parameter

from optim import Chain
from optim.curvature import Curvature
from optim.stages.base import Stage
from tests.fake_cuda import READS, FakeTensorMode
from tests.optim.table import NAMES, ROWS

SHAPES = [(4, 3, 3, 3), (6, 5), (5,), ()]
STEPS = 5  # enough for what happens every few steps, such as new bases
# And RMSGD between epochs: EVBMF.
READERS = {
    "sls": "its search compares losses",
    "prodigy": "its distance is a float of the param groups, saved with them: one read a step, for all tensors",
}


class Given(Curvature):
    """Estimates set by hand: a probe needs a backward pass, and a random stream on the GPU."""

    def gradients(self, chain, closure):
        loss = closure()
        self.estimates = {p: torch.randn(p.shape) for group in chain.param_groups for p in group["params"]}
        return loss


SECOND_ORDER = {name: {"evaluation": Given()} for name in ("adahessian", "sophia")}


def take_steps(build, **options) -> None:
    with FakeTensorMode(), torch.device("cuda"):
        params = [Parameter(torch.randn(shape)) for shape in SHAPES]

        def closure() -> torch.Tensor:
            for p in params:
                p.grad = torch.randn(p.shape)
            return torch.zeros(())

        optimizer = build(params, **options)
        for _ in range(STEPS):
            optimizer.step(closure)
        on = {
            buffer.device.type for state in optimizer.state.values() for key, buffer in state.items() if key != "step"
        }
        assert on <= {"cuda"}
        assert {int(state["step"]) for state in optimizer.state.values()} == {STEPS}


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in READERS])
def test_no_step_reads_from_the_device(name, foreach):
    take_steps(ROWS[name].build, foreach=foreach, weight_decay=0.1, **SECOND_ORDER.get(name, {}))


@pytest.mark.parametrize("name", READERS)
def test_those_that_read_are_told_apart(name):
    with pytest.raises(READS):
        take_steps(ROWS[name].build)


@pytest.mark.parametrize("read", [lambda u: u.sum().item(), lambda u: u[u > 0], lambda u: bool(u.any())])
def test_a_read_in_a_stage_is_caught(read):
    class reader(Stage):
        name = "reader"

        def update(self, bucket, updates):
            read(updates[0])
            return updates

    with pytest.raises(READS):
        take_steps(lambda params: Chain(params, [reader()], lr=0.1))


def test_a_tensor_on_the_wrong_device_is_caught():
    class stranger(Stage):
        name = "stranger"

        def init(self, param, options):
            return {"buffer": torch.zeros(param.shape, device="cpu")}

        def update(self, bucket, updates):
            (buffers,) = bucket.buffers(self, "buffer")
            return [u + b for u, b in zip(updates, buffers, strict=True)]

    with pytest.raises(RuntimeError, match="device"):
        take_steps(lambda params: Chain(params, [stranger()], lr=0.1))
