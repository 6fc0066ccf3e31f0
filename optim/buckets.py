"""The buckets of a step: which tensors are stepped together, their state, and the numbers of this step."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .saved import COUNT, HALF
from .stages.base import Bucket, Scalar

if TYPE_CHECKING:
    from .chain import Chain

Known = dict[tuple[int, int], dict[str, Scalar]]  # numbers by group (its id) and step count


def gathered(chain: "Chain") -> Iterator[tuple[list[Tensor], Bucket]]:
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
    keys = [(id(group), int(count)) for count in counts]
    for key in keys:
        if key not in known:
            known[key] = _numbers(chain, group, key[1])
    return Bucket(weights, grads, states, [known[key] for key in keys], options)


def switches(group: Mapping[str, Any]) -> dict[str, Any]:
    """The group's strings and switches."""
    return {key: value for key, value in group.items() if isinstance(value, bool | str)}


def state_of(chain: "Chain", param: Tensor, weight: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensor's count of steps and buffers, made at its first step."""
    state: dict[str, Tensor] = chain.state[param]
    if not state:
        state |= {"step": torch.tensor(0, dtype=COUNT, device="cpu")} | chain.buffers(weight, options)
    return state


def _numbers(chain: "Chain", group: Mapping[str, Any], step: int) -> dict[str, Scalar]:
    lr, decay = float(group["lr"]), float(group["weight_decay"])
    rate = lr / group["lr_0"] if group["decay"] == "absolute" else lr
    numbers: dict[str, Scalar] = {"chain.lr": lr, "chain.l2": decay, "chain.decay": rate * decay}
    for stage in chain.stages:
        numbers |= {f"{stage.name}.{key}": value for key, value in stage.scalars(group, step).items()}
    return numbers
