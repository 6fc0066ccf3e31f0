"""The buckets of a step: which tensors are stepped together, their state, and the numbers of this step."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .saved import HALF
from .stages.base import COUNT, Bucket, Numbers, Scalar, Step

if TYPE_CHECKING:
    from .chain import Chain

Known = dict[tuple[int, int], Numbers]  # by group (its id) and step count


def buckets_of(chain: "Chain") -> Iterator[tuple[list[Tensor], Bucket]]:
    """Yield the parameters that are stepped together, and their bucket: made one by one, so that it stays in the cache.

    Raises RuntimeError for a sparse gradient.
    """
    known: Known = {}
    for group in chain.param_groups:
        for params in _lists(chain, group):
            yield params, _bucket(chain, group, params, known)


def _lists(chain: "Chain", group: Mapping[str, Any]) -> list[list[Tensor]]:
    lists: dict[Any, list[Tensor]] = {}
    for index, p in enumerate(group["params"]):
        if p.grad is None or not p.numel():
            continue
        if p.grad.layout != torch.strided:
            raise RuntimeError(f"{type(chain).__name__} takes dense gradients, and got a sparse one")
        together = p.is_cuda if chain.foreach is None else chain.foreach
        lists.setdefault((p.device, p.dtype) if together else index, []).append(p)
    return list(lists.values())


def _bucket(chain: "Chain", group: Mapping[str, Any], params: list[Tensor], known: Known) -> Bucket:
    weights, grads = params, [p.grad for p in params if p.grad is not None]
    if params[0].dtype in HALF:
        weights, grads = [p.float() for p in params], [g.float() for g in grads]
    if group["maximize"]:
        grads = list(torch._foreach_neg(grads))
    options = switches(group)
    if float(group["weight_decay"]) == 0:
        options["decay"] = "none"
    states = [state_of(chain, p, weight, options) for p, weight in zip(params, weights, strict=True)]
    counts = [state["step"] for state in states]
    torch._foreach_add_(counts, 1)
    numbers = _captured(chain, group, counts, weights[0]) if chain.capturable else _read(chain, group, counts, known)
    return Bucket(weights, grads, states, numbers, options)


def switches(group: Mapping[str, Any]) -> dict[str, Any]:
    """The group's strings and switches."""
    return {key: value for key, value in group.items() if isinstance(value, bool | str)}


def state_of(chain: "Chain", param: Tensor, weight: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensor's count of steps and buffers, made at its first step."""
    state: dict[str, Tensor] = chain.state[param]
    if not state:
        state |= {"step": torch.tensor(0, dtype=COUNT, device=counted_on(chain, param))}
        state |= chain.buffers(weight, options)
    return state


def counted_on(chain: "Chain", param: Tensor) -> torch.device:
    """Where the count of a parameter's steps is kept: on the CPU, where reading it waits for no GPU."""
    return param.device if chain.capturable else torch.device("cpu")


def _read(chain: "Chain", group: Mapping[str, Any], counts: list[Tensor], known: Known) -> list[Numbers]:
    """The numbers of each tensor, made once for each count."""
    keys = [(id(group), int(count)) for count in counts]
    for key in keys:
        if key not in known:
            known[key] = _numbers(chain, group, float(group["lr"]), key[1])
    return [known[key] for key in keys]


def _captured(chain: "Chain", group: Mapping[str, Any], counts: list[Tensor], weight: Tensor) -> list[Numbers]:
    """The numbers of each tensor: tensors where count or rate are in them, so that a graph finds them anew."""
    steps = torch.stack(counts)
    lr = group["lr"].to(steps) if isinstance(group["lr"], Tensor) else float(group["lr"])
    numbers = _numbers(chain, group, lr, steps)
    moving = {key: x.expand(len(counts)) for key, x in numbers.items() if isinstance(x, Tensor)}
    if not moving:
        return [numbers] * len(counts)
    columns = torch.stack(list(moving.values())).to(weight.dtype).unbind(1)
    return [numbers | dict(zip(moving, column.unbind(), strict=True)) for column in columns]


def _numbers(chain: "Chain", group: Mapping[str, Any], lr: Scalar, step: Step) -> Numbers:
    decay = float(group["weight_decay"])
    rate = lr / group["lr_0"] if group["decay"] == "absolute" else lr
    numbers: Numbers = {"chain.lr": lr, "chain.l2": decay, "chain.decay": rate * decay}
    for stage in chain.stages:
        numbers |= {f"{stage.name}.{key}": x for key, x in stage.scalars({**group, "lr": lr}, step).items()}
    return numbers
