"""`compile=True`: the same program, traced once for each shape of tensor."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from optim.program import Program
from optim.stages.base import Bucket, Scalar

Kernel = Callable[..., None]


class Compiled:
    """Runs a program through `torch.compile`, one function a tensor shape, layout, dtype, device and set of options.

    All numbers enter as one vector, so that a change of the learning rate recompiles nothing.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.kernels: dict[Any, Kernel] = {}

    def advance(self, bucket: Bucket) -> None:
        """Step the bucket, tensor by tensor."""
        for param, grad, state, scalars in zip(bucket.params, bucket.grads, bucket.states, bucket.scalars, strict=True):
            names = [name for name in state if name != "step"]
            kernel = self._kernel(param, names, tuple(scalars), bucket.options)
            numbers = torch.tensor(list(scalars.values()), dtype=param.dtype).to(param.device)
            kernel(param, grad, [state[name] for name in names], numbers)

    def _kernel(self, param: Tensor, buffers: list[str], scalars: tuple[str, ...], options: Any) -> Kernel:
        key = (param.shape, param.stride(), param.dtype, param.device, *sorted(options.items(), key=str))
        if key not in self.kernels:
            self.kernels[key] = self._compile(buffers, scalars, dict(options))
        return self.kernels[key]

    def _compile(self, buffers: list[str], scalars: tuple[str, ...], options: dict[str, Any]) -> Kernel:
        program = self.program

        def kernel(param: Tensor, grad: Tensor, state: list[Tensor], numbers: Tensor) -> None:
            states = [dict(zip(buffers, state, strict=True))]
            values: list[dict[str, Scalar]] = [dict(zip(scalars, numbers.unbind(), strict=True))]
            program.advance(Bucket([param], [grad], states, values, options))

        # Dynamo keeps its traces with the code object: a copy for each shape keeps the look-up short and the
        # number of traces of each below its limit.
        kernel.__code__ = kernel.__code__.replace(co_name=f"step_{len(self.kernels)}")
        assert isinstance(kernel, types.FunctionType)
        return torch.compile(kernel, fullgraph=True, dynamic=False)
