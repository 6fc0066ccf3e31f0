"""How many operations a step over lists dispatches, for ResNet-50's 161 tensors; operations, not kernels.

Beside torch's AdamW(foreach=True), whose 334 are mostly reads of its counts on the CPU, two a tensor.
"""

import pytest
import torch
from torch.nn import Parameter
from torch.optim import AdamW, Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

import optim
from benchmarks.optimizers import shapes_of

# In steps of AdamW. A matrix each has what torch has no list form of: sums and norms by rows, means, `where`, softplus.
AT_MOST = {
    **dict.fromkeys(("AdaBelief", "AdaBound", "Adan", "LAMB", "Lion", "MARS", "Yogi"), 0.6),
    **dict.fromkeys(("ScheduleFreeAdamW", "ScheduleFreeSGD"), 0.6),
    "AdamS": 0.7,
    "Adafactor": 1.1,
    "Cautious": 1.1,
    "SGDMRT": 1.3,
    "SING": 1.4,
    "AdamSRT": 1.7,
    "AdamP": 2,
    "SGDP": 2,
}


class Counted(TorchDispatchMode):
    operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def shapes():
    return shapes_of("resnet50")


def operations(make: type[Optimizer], shapes: list[torch.Size]) -> int:
    """Of the third step; on the meta device, where no number is computed."""
    params = [Parameter(torch.empty(shape, device="meta")) for shape in shapes]
    for p in params:
        p.grad = torch.empty_like(p)
    optimizer = make([{"params": params, "invariance": "channel"}], foreach=True, weight_decay=0.1)
    for _ in range(2):
        optimizer.step()
    with Counted() as counted:
        optimizer.step()
    return counted.operations


@pytest.mark.parametrize(("name", "factor"), AT_MOST.items())
def test_a_step_over_lists_dispatches_few_operations(name, factor, shapes):
    assert operations(getattr(optim, name), shapes) <= factor * operations(AdamW, shapes)
