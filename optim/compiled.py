"""`compile=True`: the same step, traced once for each form of tensor; sizes are free in a trace."""

import types
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx.experimental import _config
from torch.utils._config_module import ConfigModule

from .stages.base import Bucket, Numbers
from .stages.lists import is_sharded

Kernel = Callable[..., None]

OPTIONS: dict[str, Any] = {
    # The key says all that a trace depends on but for relations of sizes, so the other guards are dropped: they cost
    # more than a small step.
    "guard_filter_fn": lambda guards: [guard.guard_type == "SHAPE_ENV" for guard in guards],
    # A value that is read more than once is computed again rather than written to memory, which is what a step waits
    # for: new m and v went to fresh memory, and were read and copied in a loop of their own (SING 2.3 -> 1.7 x AdamW).
    "realize_reads_threshold": 1000,
    "realize_acc_reads_threshold": 1000,
    "realize_opcount_threshold": 100_000,
    # One rounding for a multiplication and an addition, in one instruction (AdamP 3.5 -> 3.1 x AdamW).
    "cpp.enable_floating_point_contract_flag": "fast",
}


class Compiled:
    """Runs the step of a bucket through `torch.compile`: one function for each form of a tensor, its gradient, buffers.

    ResNet-50's tensors have 28 shapes and 4 forms: SING's first step takes 29 s on one core, and 90 s with a trace for
    each shape. All numbers enter as one vector, so that a change of the learning rate recompiles nothing; those that
    are tensors already (`capturable`) as they are.
    """

    def __init__(self, advance: Callable[[Bucket], None]) -> None:
        self.eager = advance
        self.kernels: dict[Any, Kernel] = {}
        self.last: tuple[Numbers, Tensor] = {}, torch.empty(0)

    def advance(self, bucket: Bucket) -> None:
        """Step the bucket, tensor by tensor."""
        for param, grad, state, scalars in zip(bucket.params, bucket.grads, bucket.states, bucket.scalars, strict=True):
            moving = {name: number for name, number in scalars.items() if isinstance(number, Tensor)}
            fixed = {name: number for name, number in scalars.items() if name not in moving} if moving else scalars
            names = [name for name in state if name != "step"]
            buffers = [state[name] for name in names]
            form = tuple([(*_form(x), x.dtype) for x in (param, grad, *buffers)])
            key = (form, tuple(names), tuple(moving), param.device, tuple(bucket.options.items()))
            arguments = param.detach(), grad, buffers, self._vector(fixed, param), list(moving.values())
            if key in self.kernels:
                self.kernels[key](*arguments)
                continue
            self.kernels[key] = self._compile(names, (*fixed, *moving), dict(bucket.options), not is_sharded(param))
            # Sizes that are equal here need not be so in the next tensor.
            with cast(ConfigModule, _config).patch("use_duck_shape", False):
                self.kernels[key](*arguments)

    def _vector(self, scalars: Numbers, like: Tensor) -> Tensor:
        """The floats as a tensor; made once for all tensors that share them."""
        if scalars != self.last[0] or (self.last[1].dtype, self.last[1].device) != (like.dtype, like.device):
            self.last = scalars, torch.tensor(list(scalars.values()), dtype=like.dtype).to(like.device)
        return self.last[1]

    def _compile(
        self, buffers: list[str], scalars: tuple[str, ...], options: dict[str, Any], free_sizes: bool
    ) -> Kernel:
        advance = self.eager

        def kernel(param: Tensor, grad: Tensor, state: list[Tensor], fixed: Tensor, moving: list[Tensor]) -> None:
            states = [dict(zip(buffers, state, strict=True))]
            values: Numbers = dict(zip(scalars, [*fixed.unbind(), *moving], strict=True))
            advance(Bucket([param], [grad], states, [values], options))

        # Dynamo keeps its traces with the code object: a copy for each form keeps the look-up short and the
        # number of traces of each below its limit.
        kernel.__code__ = kernel.__code__.replace(co_name=f"step_{len(self.kernels)}")
        assert isinstance(kernel, types.FunctionType)
        return torch.compile(kernel, fullgraph=True, dynamic=free_sizes, options=OPTIONS)


def _form(x: Tensor) -> tuple[Any, ...]:
    """What a trace for x depends on: its dimensions, which of them are 1, and their order in memory.

    Of a sharded tensor, and of one with gaps, all sizes and strides.
    """
    if is_sharded(x):
        return x.shape, x.stride(), getattr(x, "placements", None), getattr(x, "device_mesh", None)
    order = sorted(range(x.ndim), key=lambda dim: (x.stride(dim), -dim))
    if not x.permute(order[::-1]).is_contiguous():
        return x.shape, x.stride()
    return tuple(size == 1 for size in x.shape), tuple(order)
