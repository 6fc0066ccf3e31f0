"""`compile=True`: the same step, traced once for each form of tensor, where sizes are free; on a GPU for each list."""

import types
from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.fx.experimental import _config
from torch.utils._config_module import ConfigModule

from .stages.base import Bucket, Numbers
from .stages.lists import is_sharded

Kernel = Callable[..., None]

# The key says all that a trace depends on but for relations of sizes, so the other guards are dropped: they cost more
# than a small step.
GUARDS: dict[str, Any] = {"guard_filter_fn": lambda guards: [guard.guard_type == "SHAPE_ENV" for guard in guards]}
OF_A_LIST = GUARDS | {"loop_ordering_after_fusion": False}  # it fails on Adafactor's factors (torch 2.11)
OF_A_TENSOR = GUARDS | {
    # A value that is read more than once is computed again rather than written to memory, which is what a step waits
    # for: new m and v went to fresh memory, and were read and copied in a loop of their own (SING 2.3 -> 1.7 x AdamW).
    "realize_reads_threshold": 1000,
    "realize_acc_reads_threshold": 1000,
    "realize_opcount_threshold": 100_000,
    # One rounding for a multiplication and an addition, in one instruction (AdamP 3.5 -> 3.1 x AdamW).
    "cpp.enable_floating_point_contract_flag": "fast",
}


class Compiled:
    """Runs the step of a bucket through `torch.compile`: on a CPU tensor by tensor, on a GPU all at once.

    On a CPU there is one function for each form of a tensor, its gradient, buffers. ResNet-50's tensors have 28 shapes
    and 4 forms: SING's first step takes 29 s on one core, and 90 s with a trace for each shape. On a GPU a call costs
    more than a tensor, so there is one function for a list. Numbers enter as vectors, so that a change of the learning
    rate recompiles nothing; those that are tensors already (`capturable`) as they are.
    """

    def __init__(self, advance: Callable[[Bucket], None]) -> None:
        self.eager = advance
        self.kernels: dict[Any, Kernel] = {}
        self.last: tuple[Numbers, Tensor] = {}, torch.empty(0)

    def advance(self, bucket: Bucket) -> None:
        """Step the bucket."""
        if steps_whole(bucket):
            self._together(bucket)
            return
        options = tuple(bucket.options.items())
        for param, grad, state, scalars in zip(bucket.params, bucket.grads, bucket.states, bucket.scalars, strict=True):
            fixed, moving = _parted(scalars)
            names = [name for name in state if name != "step"]
            buffers = [state[name] for name in names]
            form = tuple([(*_form(x), x.dtype) for x in (param, grad, *buffers)])
            key = (form, tuple(names), tuple(moving), param.device, options)
            arguments = [param.detach()], [grad], [buffers], [self._vector(fixed, param)], [list(moving.values())]
            kernel = self.kernels.get(key)
            if kernel is None:
                layout = Layout([names], [0], [(*fixed, *moving)], dict(bucket.options))
                kernel = self.kernels[key] = self._compile(layout, not is_sharded(param), OF_A_TENSOR)
                # Sizes that are equal here need not be so in the next tensor.
                with cast(ConfigModule, _config).patch("use_duck_shape", False):
                    kernel(*arguments)
            else:
                kernel(*arguments)

    def _together(self, bucket: Bucket) -> None:
        """Step the whole bucket by one function, in which all sizes are fixed."""
        params = bucket.params
        names = [[name for name in state if name != "step"] for state in bucket.states]
        buffers = [[state[name] for name in own] for state, own in zip(bucket.states, names, strict=True)]
        numbers = {id(scalars): scalars for scalars in bucket.scalars}  # most tensors share theirs
        parts, places = [_parted(scalars) for scalars in numbers.values()], {key: i for i, key in enumerate(numbers)}
        which = [places[id(scalars)] for scalars in bucket.scalars]
        forms = tuple([(x.shape, x.stride(), x.dtype) for x in chain(params, bucket.grads, *buffers)])
        kinds = tuple(map(tuple, names)), tuple(which), tuple(tuple(moving) for _, moving in parts)
        key = (forms, *kinds, params[0].device, tuple(bucket.options.items()))
        if key not in self.kernels:
            layout = Layout(names, which, [(*fixed, *moving) for fixed, moving in parts], dict(bucket.options))
            self.kernels[key] = self._compile(layout, False, OF_A_LIST)
        vectors = [self._vector(fixed, params[0]) for fixed, _ in parts]
        moving = [list(moving.values()) for _, moving in parts]
        self.kernels[key]([p.detach() for p in params], bucket.grads, buffers, vectors, moving)

    def _vector(self, scalars: Numbers, like: Tensor) -> Tensor:
        """The floats as a tensor; made once for all tensors that share them."""
        if scalars != self.last[0] or (self.last[1].dtype, self.last[1].device) != (like.dtype, like.device):
            vector = torch.tensor(list(scalars.values()), dtype=like.dtype)
            self.last = scalars, vector.to(like.device, non_blocking=True)
        return self.last[1]

    def _compile(self, layout: "Layout", free_sizes: bool, how: dict[str, Any]) -> Kernel:
        advance, (names, which, scalars, options) = self.eager, layout

        def kernel(
            params: list[Tensor],
            grads: list[Tensor],
            buffers: list[list[Tensor]],
            fixed: list[Tensor],
            moving: list[list[Tensor]],
        ) -> None:
            states = [dict(zip(*own, strict=True)) for own in zip(names, buffers, strict=True)]
            values = [[*vector.unbind(), *tensors] for vector, tensors in zip(fixed, moving, strict=True)]
            numbers: list[Numbers] = [dict(zip(*own, strict=True)) for own in zip(scalars, values, strict=True)]
            advance(Bucket(params, grads, states, [numbers[place] for place in which], options))

        # Dynamo keeps its traces with the code object: a copy for each form keeps the look-up short and the
        # number of traces of each below its limit.
        kernel.__code__ = kernel.__code__.replace(co_name=f"step_{len(self.kernels)}")
        assert isinstance(kernel, types.FunctionType)
        return torch.compile(kernel, fullgraph=True, dynamic=free_sizes, options=how)


class Layout(NamedTuple):
    """What a trace has of a bucket besides tensors: names of each one's buffers and numbers, the group's switches."""

    names: list[list[str]]
    which: list[int]  # of the numbers, each tensor's place among them
    scalars: list[tuple[str, ...]]
    options: dict[str, Any]


def steps_whole(bucket: Bucket) -> bool:
    """Tell whether a bucket is stepped by one function."""
    return bucket.params[0].is_cuda and not any(is_sharded(p) for p in bucket.params)


def _parted(scalars: Numbers) -> tuple[Numbers, Numbers]:
    """The floats, and the tensors."""
    moving: Numbers = {name: number for name, number in scalars.items() if isinstance(number, Tensor)}
    return {name: x for name, x in scalars.items() if name not in moving} if moving else scalars, moving


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
