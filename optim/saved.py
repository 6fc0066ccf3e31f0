"""Reading optimizer states: our own at any precision, and those of other packages where the method is the same."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from .stages.base import COUNT

if TYPE_CHECKING:
    from .chain import Chain

State = dict[str, Any]  # of one tensor, by the buffers' names
HALF = (torch.bfloat16, torch.float16)


class Format(NamedTuple):
    """How others write the state of a chain of these stages."""

    whose: str
    stages: tuple[str, ...]
    buffers: Mapping[str, str]  # their name: ours


MOMENTS = {"exp_avg": "adam.exp_avg", "exp_avg_sq": "adam.exp_avg_sq"}
FORMATS = (
    Format("torch's SGD", ("heavy_ball",), {"momentum_buffer": "momentum.buffer"}),
    Format("torch's Adam and AdamW", ("adam",), MOMENTS),
    Format("AdamP of adamp and timm", ("adam", "radial_projection"), MOMENTS),
    Format(
        "AdaBelief of adabelief-pytorch and timm",
        ("adabelief",),
        {"exp_avg": "adabelief.exp_avg", "exp_avg_var": "adabelief.exp_avg_sq"},
    ),
)


def understood(chain: "Chain", given: dict[str, Any]) -> dict[str, Any]:
    """Return a state dict in the chain's own terms: `given`, or what another package wrote, translated.

    Raises ValueError, one line, for a state of another method, or of tensors of another shape.
    """
    name = type(chain).__name__
    if not {"state", "param_groups"} <= given.keys():
        raise ValueError(f"{name}: no optimizer's state_dict: it has {', '.join(map(str, given)) or 'nothing'}")
    given = {"state": dict(given["state"]), "param_groups": list(given["param_groups"])}
    if len(given["param_groups"]) != len(chain.param_groups):
        return given  # torch says so
    if any("decay" not in group for group in given["param_groups"]):
        given = _translated(chain, given)
    for key, param, group in _entries(chain, given["param_groups"]):
        if key in given["state"]:
            given["state"][key] = _checked(chain, given["state"][key], param, group)
    return given


def _translated(chain: "Chain", given: dict[str, Any]) -> dict[str, Any]:
    """Their names become ours, and of their groups' numbers those are kept that we have."""
    states: dict[Any, State] = {}
    for key, theirs in given["state"].items():
        found = {name: value for name, value in theirs.items() if value is not None}
        if found:
            step = found.pop("step", 1)  # torch's SGD counts none: its first is over
            states[key] = {"step": step} | {_ours(chain, name, found): value for name, value in found.items()}
    pairs = zip(chain.param_groups, given["param_groups"], strict=True)
    return {"state": states, "param_groups": [_group(chain, ours, theirs) for ours, theirs in pairs]}


def _ours(chain: "Chain", name: str, found: Mapping[str, Any]) -> str:
    """Our name of one of the buffers that were `found`."""
    stages = tuple(type(stage).__name__ for stage in chain.stages)
    formats = [known for known in FORMATS if known.stages == stages]
    for known in formats:
        if found.keys() == known.buffers.keys():
            return known.buffers[name]
    readable = f"; of others it reads {formats[0].whose}" if formats else ""
    raise ValueError(f"{type(chain).__name__}: a state of another method, with {', '.join(found)}{readable}")


def _group(chain: "Chain", ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    if theirs.get("amsgrad"):
        raise ValueError(f"{type(chain).__name__}: a state of another method: it was written with amsgrad=True")
    kept = {key: value for key, value in theirs.items() if key in ours or key in ("params", "initial_lr")}
    if "decoupled_weight_decay" in theirs:
        kept["decay"] = "decoupled" if theirs["decoupled_weight_decay"] else "coupled"
    return {key: value for key, value in ours.items() if key not in ("params", "lr_0")} | kept


def _entries(chain: "Chain", groups: list[dict[str, Any]]) -> Iterator[tuple[Any, Tensor, dict[str, Any]]]:
    """(its key in the state, the tensor, the group as it will be) of each tensor."""
    for ours, theirs in zip(chain.param_groups, groups, strict=True):
        for key, param in zip(theirs["params"], ours["params"], strict=False):  # torch refuses unequal numbers
            yield key, param, chain.defaults | theirs


def _checked(chain: "Chain", state: State, param: Tensor, group: Mapping[str, Any]) -> State:
    """The state, with buffers that it lacks as they start; ValueError unless it is of these stages and this shape."""
    dtype = torch.float32 if param.dtype in HALF else param.dtype
    expected = chain.buffers(torch.empty(param.shape, dtype=dtype, device="meta"), group)
    for name, value in state.items():
        if name != "step" and (name not in expected or value.shape != expected[name].shape):
            form = tuple(value.shape) if isinstance(value, Tensor) else value
            wanted = ", ".join(f"{key} {tuple(x.shape)}" for key, x in expected.items()) or "none"
            here = f"a weight {tuple(param.shape)} has {wanted}"
            raise ValueError(f"{type(chain).__name__}: the state has a buffer {name} {form}, and {here}")
    if expected.keys() <= state.keys():
        return state
    return chain.buffers(param.detach().to(dtype), group) | {"step": 0} | state


def restored(name: str, value: Any, param: Tensor, counted_on: torch.device) -> Tensor:
    """A copy of a buffer for this weight: on its device, of its precision (float32 for half), the count aside."""
    tensor = torch.as_tensor(value).detach().clone()
    if name == "step":
        return tensor.to(device=counted_on, dtype=COUNT)
    dtype = torch.float32 if param.dtype in HALF else param.dtype
    return tensor.to(device=param.device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
