"""List operations with one scalar a tensor, where torch's foreach functions have none, and what makes such scalars.

A scalar is a float, or a tensor of no dimensions where the step is traced or captured, or where it was measured.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeGuard

import torch
from torch import Tensor
from torch.linalg import vector_norm

from .base import COUNT, Bucket, Scalar


def add_(xs: list[Tensor], ys: list[Tensor], scalars: Sequence[Scalar]) -> None:
    """x += scalar * y, in place, tensor by tensor; without a temporary where all scalars are one float."""
    if _alike(scalars):
        torch._foreach_add_(xs, ys, alpha=scalars[0])
    elif _floats(scalars):
        torch._foreach_add_(xs, torch._foreach_mul(ys, scalars))
    else:
        torch._foreach_add_(xs, [y * scalar for y, scalar in zip(ys, scalars, strict=True)])


def plus(bucket: Bucket, xs: list[Tensor], ys: list[Tensor], scalars: Sequence[Scalar]) -> list[Tensor]:
    """x + scalar * y, tensor by tensor; x where the scalar is the float 0, written over where the bucket spares it."""
    if len(xs) > 1 and _alike(scalars) and scalars[0]:
        return list(torch._foreach_add(xs, ys, alpha=scalars[0]))
    return [_plus(bucket, *entry) for entry in zip(xs, ys, scalars, strict=True)]


def _plus(bucket: Bucket, x: Tensor, y: Tensor, scalar: Scalar) -> Tensor:
    if isinstance(scalar, Tensor):
        return x + y * scalar
    return torch.add(x, y, alpha=scalar, out=bucket.spare(x)) if scalar else x


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


def blended(xs: list[Tensor], ys: list[Tensor], scalars: Sequence[Scalar]) -> list[Tensor]:
    """x + scalar * (y - x), tensor by tensor."""
    if _floats(scalars):
        return list(torch._foreach_lerp(xs, ys, scalars))
    return [x * (1 - scalar) + y * scalar for x, y, scalar in zip(xs, ys, scalars, strict=True)]


def multiply_(xs: list[Tensor], scalars: Sequence[Scalar]) -> None:
    """x *= scalar, in place, tensor by tensor; nothing is done where all scalars are the float one."""
    if _floats(scalars):
        if any(scalar != 1.0 for scalar in scalars):
            torch._foreach_mul_(xs, scalars)
    elif apart(xs[0]):
        for x, scalar in zip(xs, scalars, strict=True):
            x.mul_(scalar)
    else:
        for kind in (float, Tensor):  # a list of both has no foreach form
            pairs = [(x, scalar) for x, scalar in zip(xs, scalars, strict=True) if isinstance(scalar, kind)]
            if pairs:
                torch._foreach_mul_(*map(list, zip(*pairs, strict=True)))


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


def maxima(xs: list[Tensor]) -> list[Tensor]:
    """The largest entry of each whole tensor, 0-d."""
    return [xs[0].max()] if len(xs) == 1 else list(torch._foreach_max(xs))


def once(x: Tensor) -> Tensor:
    """A number for many entries (a norm, a row's mean). A trace computes it once, since as_strided needs it in memory.

    Otherwise each vector of entries would take the number's roots and divisions anew (AdamP 4.8 -> 2 x AdamW).
    """
    return x.as_strided(x.shape, x.stride()) if torch.compiler.is_compiling() and not is_sharded(x) else x


def scaled(bucket: Bucket, xs: list[Tensor], scalars: Sequence[Scalar]) -> list[Tensor]:
    """x * scalar, tensor by tensor; a list of one is written over x where the bucket spares it."""
    if len(xs) == 1:
        return [torch.mul(xs[0], scalars[0], out=bucket.spare(xs[0]))]
    return products(xs, scalars)


def products(xs: list[Tensor], scalars: Sequence[Scalar]) -> list[Tensor]:
    """x * scalar, tensor by tensor, in new memory."""
    tensors = [scalar for scalar in scalars if isinstance(scalar, Tensor)]
    if _floats(scalars):
        return list(torch._foreach_mul(xs, scalars))
    if len(tensors) == len(xs):
        return list(torch._foreach_mul(xs, tensors))
    return [x * scalar for x, scalar in zip(xs, scalars, strict=True)]


def dots(xs: list[Tensor], ys: list[Tensor]) -> list[Tensor]:
    """The inner product of each row of x and of y, tensor by tensor: a vector each."""
    return [product.sum(dim=tuple(range(1, product.ndim))) for product in torch._foreach_mul(xs, ys)]


def less_products(bucket: Bucket, xs: list[Tensor], ys: list[Tensor], zs: list[Tensor]) -> list[Tensor]:
    """x - y * z, tensor by tensor; a list of one is written over x where the bucket spares it."""
    if len(xs) == 1:
        return [torch.addcmul(xs[0], ys[0], zs[0], value=-1, out=bucket.spare(xs[0]))]
    return list(torch._foreach_addcmul(xs, ys, zs, value=-1))


def copy_(xs: list[Tensor], ys: list[Tensor]) -> None:
    """x <- y, tensor by tensor, each rounded to the precision of x."""
    if apart(xs[0]):
        for x, y in zip(xs, ys, strict=True):
            x.copy_(y)
    else:
        torch._foreach_copy_(xs, ys)


def copies(xs: list[Tensor]) -> list[Tensor]:
    """Copies, tensor by tensor.

    On a GPU a trace with `_foreach_mul(xs, 1.0)` reads what is in xs later (torch 2.11: Adam-SRT's v was 0.4 % off); on
    a CPU Inductor fails on clones (torch 2.15, SGD-MRT: a KeyError).
    """
    if torch.compiler.is_compiling() and xs[0].is_cuda:
        return [x.clone() for x in xs]
    return list(torch._foreach_mul(xs, 1.0))


def at_once(formula: Callable[..., Tensor], *columns: list[Tensor]) -> list[Tensor]:
    """formula(x, y, ..), entry by entry, for each place of lists of small tensors: worked out on all of them joined.

    A place has 0-d tensors, or tensors with as many rows each. So ResNet-50's 161 tensors take one operation, not 161.
    """
    first = columns[0]
    if len(first) == 1 or apart(first[0]):
        return [formula(*entry) for entry in zip(*columns, strict=True)]
    if first[0].ndim:
        return list(formula(*map(torch.cat, columns)).split([len(x) for x in first]))
    return list(formula(*map(torch.stack, columns)).unbind())


def numbers(formula: Callable[..., Scalar], *columns: Sequence[Scalar]) -> list[Scalar]:
    """formula(x, y, ..) for each place of lists of scalars, worked out at once where they are tensors."""
    entries = list(zip(*columns, strict=True))
    if len(entries) == 1:  # one tensor at a time, as on a CPU
        return [formula(*entries[0])]
    moving = [entry for entry in entries if not _floats(entry)]
    kinds = {tuple(x if isinstance(x, float) else None for x in entry) for entry in moving}
    if len(moving) < 2 or len(kinds) > 1 or any(apart(x) for x in moving[0] if isinstance(x, Tensor)):
        return [formula(*entry) for entry in entries]
    joined = formula(*map(_joined, zip(*moving, strict=True)))
    assert isinstance(joined, Tensor)
    results = iter(joined.unbind())
    return [formula(*entry) if _floats(entry) else next(results) for entry in entries]


def _joined(scalars: Sequence[Scalar]) -> Scalar:
    tensors = [scalar for scalar in scalars if isinstance(scalar, Tensor)]
    return torch.stack(tensors) if tensors else scalars[0]


def matrices(xs: list[Tensor]) -> list[list[int]]:
    """The places of tensors of two and more dimensions, in lists of as many dimensions; one by one where `apart`."""
    found: dict[tuple[int, int], list[int]] = {}
    for place, x in enumerate(xs):
        if x.ndim > 1:
            found.setdefault((x.ndim, place if apart(x) else 0), []).append(place)
    return list(found.values())


def rows(x: Tensor) -> Tensor:
    """x as a matrix, one row for each entry of the first dimension."""
    return row_wise(x).reshape(x.shape[0], -1)


def row_wise(x: Tensor) -> Tensor:
    """x such that its rows can be reduced in the order of a matrix's, a row being an entry of the first dimension.

    A sharded tensor gets its shards along that dimension: others cannot be flattened where they are uneven.
    """
    if is_sharded(x):
        from torch.distributed.tensor import DTensor, Shard  # takes seconds, and is loaded where such a tensor is

        assert isinstance(x, DTensor)
        x = x.redistribute(placements=[Shard(0) if isinstance(p, Shard) else p for p in x.placements])
    return x if x.ndim == 2 else x.contiguous()


def row_norms(x: Tensor) -> Tensor:
    """The 2-norm of each row, a vector."""
    norms: Tensor = vector_norm(x, dim=tuple(range(1, x.ndim)))
    return norms


def apart(x: Tensor) -> bool:
    """Whether tensors as x are taken one by one: in a trace, which fuses them so, and where they are sharded."""
    return torch.compiler.is_compiling() or is_sharded(x)


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


def _alike(scalars: Sequence[Scalar]) -> TypeGuard[Sequence[float]]:
    return _floats(scalars) and all(scalar == scalars[0] for scalar in scalars)


def _floats(scalars: Sequence[Scalar]) -> TypeGuard[Sequence[float]]:
    return all(isinstance(scalar, float) for scalar in scalars)
