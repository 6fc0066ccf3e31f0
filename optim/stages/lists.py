"""List operations with one scalar a tensor, where torch's foreach functions have none, and what makes such scalars.

A scalar is a float, or a tensor of no dimensions where the step is traced or captured.
"""

import math
from collections.abc import Sequence
from typing import TypeGuard

import torch
from torch import Tensor
from torch.linalg import vector_norm

from .base import COUNT, Bucket, Scalar


def add_(xs: list[Tensor], ys: list[Tensor], scalars: Sequence[Scalar]) -> None:
    """x += scalar * y, in place, tensor by tensor; without a temporary where all scalars are one float."""
    if _floats(scalars) and all(scalar == scalars[0] for scalar in scalars):
        torch._foreach_add_(xs, ys, alpha=scalars[0])
    else:
        torch._foreach_add_(xs, [y * scalar for y, scalar in zip(ys, scalars, strict=True)])


def add_scalar_(xs: list[Tensor], scalars: Sequence[Scalar]) -> None:
    """x += scalar, in place, tensor by tensor."""
    if _floats(scalars):
        torch._foreach_add_(xs, scalars)
    else:
        for x, scalar in zip(xs, scalars, strict=True):
            x.add_(scalar)


def sums(xs: list[Tensor], scalars: Sequence[Scalar]) -> list[Tensor]:
    """x + scalar, tensor by tensor; a sharded tensor's norm, which is gathered by that, cannot be added to in place."""
    if _floats(scalars):
        return list(torch._foreach_add(xs, scalars))
    return [x + scalar for x, scalar in zip(xs, scalars, strict=True)]


def add_product_(xs: list[Tensor], ys: list[Tensor], zs: list[Tensor], scalars: Sequence[Scalar]) -> None:
    """x += scalar * y * z, in place, tensor by tensor."""
    if _floats(scalars):
        torch._foreach_addcmul_(xs, ys, zs, scalars)
    else:
        for x, y, z, scalar in zip(xs, ys, zs, scalars, strict=True):
            x.add_(y * z * scalar)


def blend_(xs: list[Tensor], ys: list[Tensor], scalars: Sequence[Scalar]) -> None:
    """x += scalar * (y - x), in place, tensor by tensor."""
    if _floats(scalars):
        torch._foreach_lerp_(xs, ys, scalars)
    else:  # traced: a foreach_lerp with tensors would not fuse with its neighbours
        for x, y, scalar in zip(xs, ys, scalars, strict=True):
            x.mul_(1 - scalar).add_(y * scalar)


def multiply_(xs: list[Tensor], scalars: Sequence[Scalar]) -> None:
    """x *= scalar, in place, tensor by tensor; nothing is done where all scalars are the float one."""
    if not _floats(scalars):
        for x, scalar in zip(xs, scalars, strict=True):
            x.mul_(scalar)
    elif any(scalar != 1.0 for scalar in scalars):
        torch._foreach_mul_(xs, scalars)


def quotients(xs: list[Tensor], ys: list[Tensor]) -> list[Tensor]:
    """x / y, tensor by tensor; a list of one is written over y where it fits, which saves fresh memory."""
    if len(xs) == 1 and xs[0].shape == ys[0].shape and not torch.compiler.is_compiling():
        return [torch.div(xs[0], ys[0], out=ys[0])]
    return list(torch._foreach_div(xs, ys))


def norms(xs: list[Tensor]) -> list[Tensor]:
    """The 2-norm of each whole tensor, 0-d."""
    if torch.compiler.is_compiling():  # row by row: each row is in the cache, and its mean just found (`centralize`)
        return [vector_norm(vector_norm(x, dim=tuple(range(1, x.ndim))) if x.ndim > 1 else x) for x in xs]
    return list(torch._foreach_norm(xs))


def once(x: Tensor) -> Tensor:
    """A number for many entries (a norm, a row's mean). A trace computes it once, since as_strided needs it in memory.

    Otherwise each vector of entries would take the number's roots and divisions anew (AdamP 4.8 -> 2 x AdamW).
    """
    return x.as_strided(x.shape, x.stride()) if torch.compiler.is_compiling() and not is_sharded(x) else x


def scaled(bucket: Bucket, xs: list[Tensor], scalars: Sequence[Scalar]) -> list[Tensor]:
    """x * scalar, tensor by tensor; a list of one is written over x where the bucket spares it."""
    if len(xs) == 1:
        return [torch.mul(xs[0], scalars[0], out=bucket.spare(xs[0]))]
    tensors = [scalar for scalar in scalars if isinstance(scalar, Tensor)]
    if len(tensors) == len(xs):
        return list(torch._foreach_mul(xs, tensors))
    return [x * scalar for x, scalar in zip(xs, scalars, strict=True)]


def copy_(xs: list[Tensor], ys: list[Tensor]) -> None:
    """x <- y, tensor by tensor, each rounded to the precision of x."""
    if is_sharded(xs[0]):
        for x, y in zip(xs, ys, strict=True):
            x.copy_(y)
    else:
        torch._foreach_copy_(xs, ys)


def rows(x: Tensor) -> Tensor:
    """x as a matrix, one row for each entry of the first dimension.

    A sharded tensor gets its shards along that dimension: others cannot be flattened where they are uneven.
    """
    if is_sharded(x):
        from torch.distributed.tensor import DTensor, Shard  # takes seconds, and is loaded where such a tensor is

        assert isinstance(x, DTensor)
        x = x.redistribute(placements=[Shard(0) if isinstance(p, Shard) else p for p in x.placements])
    return x.reshape(x.shape[0], -1)


def is_sharded(x: Tensor) -> bool:
    """Whether x is a DTensor, as `fully_shard` makes them."""
    return hasattr(x, "full_tensor")


def root(x: Scalar) -> Scalar:
    """The square root."""
    return x.sqrt() if isinstance(x, Tensor) else math.sqrt(x)


def clip(x: Scalar, low: float, high: float) -> Scalar:
    """x, or the end of [low, high] that it is beyond."""
    return x.clamp(low, high) if isinstance(x, Tensor) else min(max(x, low), high)


def either(condition: bool | Tensor, yes: Scalar, no: Scalar) -> Scalar:
    """`yes` where the condition holds, `no` elsewhere."""
    if not isinstance(condition, Tensor):
        return yes if condition else no
    return torch.where(condition, yes if isinstance(yes, Tensor) else torch.full_like(condition, yes, dtype=COUNT), no)


def _floats(scalars: Sequence[Scalar]) -> TypeGuard[Sequence[float]]:
    return all(isinstance(scalar, float) for scalar in scalars)
