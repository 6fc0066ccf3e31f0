"""Parameter groups: which tensors are scale-invariant, which are not decayed, and under which names."""

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from .adamp import cosines
from .stages.base import near
from .stages.lists import row_wise

KINDS = ("channel", "layer")
_IMAGE_SIZES = (224, 32, 64, 28, 256, 299, 384, 128, 8)  # tried in turn; on the meta device a try costs milliseconds
_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)


def param_groups(
    model: nn.Module,
    no_decay: str | Sequence[str] = "none",
    invariance: str | Mapping[str, Sequence[str]] | None = None,
    example: Tensor | None = None,
) -> list[dict[str, Any]]:
    """Split the trainable parameters of `model` into groups for any torch optimizer, in the model's order.

    A group holds `params` (name and tensor), `invariance`, and `weight_decay` where it is 0.

    Args:
        model: the network.
        no_decay: what gets `weight_decay` 0: "none", "bias_and_norm" (biases, vectors, scalars and the parameters of
            normalisations), or a list of name patterns.
        invariance: "none", "auto" (`scale_invariant`), or patterns by kind, `{"channel": [...], "layer": [...]}`; None:
            "auto" where the model can be traced.
        example: an input of the model, for "auto".

    Raises:
        ValueError: one line, for an unknown word, a pattern that matches no parameter or one already taken.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not named:
        raise ValueError(f"param_groups: {type(model).__name__} has no trainable parameter")
    kinds = _kinds(model, named, invariance, example)
    undecayed = _undecayed(model, named, no_decay)
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in named.items():
        key = kinds.get(name, "none"), name in undecayed
        group = groups.setdefault(key, {"params": [], "invariance": key[0]})
        group["params"].append((name, parameter))
        if key[1]:
            group["weight_decay"] = 0.0
    return list(groups.values())


def split_groups(params: ParamsT, model: nn.Module, example: Tensor | None = None) -> list[dict[str, Any]]:
    """Return `params` (of any form that torch takes) as groups that say what `model` is invariant to the scale of.

    What a group says of its `invariance` itself stays. Raises ValueError as `scale_invariant`, and for a parameter that
    `model` does not have.

        >>> optimizer = AdamSRT(model.parameters(), lr=1e-3, param_groups=model)
    """
    found, names = scale_invariant(model, example), {id(p): name for name, p in model.named_parameters()}
    given: list[Any] = list(params)
    groups = []
    for group in given if given and isinstance(given[0], Mapping) else [{"params": given}]:
        entries = [group["params"]] if isinstance(group["params"], Tensor) else group["params"]
        kinds: dict[str, list[tuple[str, Tensor]]] = {}
        for p in (entry[1] if isinstance(entry, tuple) else entry for entry in entries):
            if id(p) not in names:
                raise ValueError(f"param_groups: {type(model).__name__} has no such parameter: {[*p.shape]}")
            name = names[id(p)]
            kind = str(group.get("invariance", found.get(name, "none")))
            kinds.setdefault(kind, []).append((name, p))
        groups += [{**group, "params": named, "invariance": kind} for kind, named in kinds.items()]
    return groups


def describe_groups(groups: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what JSON can hold of `groups` (from `param_groups`, or an optimizer's own): names and options."""
    rows = []
    for group in groups:
        names = group.get("param_names") or [""] * len(group["params"])
        entries = [e if isinstance(e, tuple) else (n, e) for n, e in zip(names, group["params"], strict=True)]
        row = {"invariance": group.get("invariance", "none"), "tensors": len(entries)}
        row |= {"entries": sum(p.numel() for _, p in entries), "names": [name for name, _ in entries]}
        rows.append(row | ({"weight_decay": group["weight_decay"]} if "weight_decay" in group else {}))
    return rows


def scale_invariant(model: nn.Module, example: Tensor | None = None) -> dict[str, str]:
    """Return the parameters that the network is invariant to the scale of: name -> "channel" | "layer".

    A weight counts if everything that its convolution or linear map yields goes, through changes of view alone,
    into normalisations. BatchNorm and InstanceNorm take each output channel by itself ("channel": any row of
    dim 0 may be scaled); LayerNorm, GroupNorm and RMSNorm mix channels ("layer": only the whole tensor may), and
    then a bias, or a concatenation with something else, spoils it. A transposed convolution, whose dim 0 is its
    input, is "layer" at most. So after an addition (pre-activation nets, pre-norm ViT) nothing counts. A direction
    of torch's weight_norm counts whatever follows.

    The model runs once, on the meta device: nothing is computed, no state or random stream changes. Without
    `example` ([B, C, H, W]) the input's form is guessed. Raises ValueError if the model does not run on it.
    """
    parameters = {name: p.detach().to("meta") for name, p in model.named_parameters()}
    buffers = {name: b.detach().to("meta") for name, b in model.named_buffers()}
    reason: Exception | None = None
    for x in _inputs(model) if example is None else [example.detach().to("meta")]:
        flow = _Flow({name: p for name, p in parameters.items() if p.ndim > 1})
        try:
            with flow:
                output = torch.func.functional_call(model, parameters | buffers, (x,))
        except Exception as error:  # a net may raise anything on a wrong input size
            reason = error
            continue
        flow.spoil(tree_leaves(output))
        return flow.found()
    said = str(reason).splitlines()[0] if reason and str(reason) else type(reason).__name__
    raise ValueError(
        f"invariance=auto: {type(model).__name__} cannot be traced ({said}); "
        "give param_groups an example input, or patterns {channel: [...], layer: [...]}"
    )


def radial_cosine(weight: Tensor, gradient: Tensor, kind: str) -> Tensor:
    """Return sqrt(n) * max over groups of |cos(w, g)|, n the entries of a group: AdamP Eq. 11 asks for < delta.

    `kind` "channel": groups are the rows of dim 0; "layer": the tensor. Shape []. A zero weight or gradient gives 0.
    """
    smallest = torch.finfo(weight.dtype).tiny ** 0.5  # two of which have a product
    _, (channel,), (layer,) = cosines([row_wise(weight.detach())], [row_wise(gradient.detach())], smallest)
    return channel * math.sqrt(weight[0].numel()) if kind == "channel" else layer * math.sqrt(weight.numel())


def suspects(model: nn.Module, groups: Iterable[Mapping[str, Any]], delta: float = 0.1) -> list[str]:
    """Return the parameters that `groups` call scale-invariant and whose gradients at hand say that they are not.

    Args:
        model: the network that the names are of, after a backward pass.
        groups: from `describe_groups`, or the second value of `configure`.
        delta: threshold of AdamP's test: `radial_cosine` is below it for an invariant tensor (up to the eps of the
            normalisation).
    """
    weights = dict(model.named_parameters())
    claimed = [(n, weights[n], row["invariance"]) for row in groups if row["invariance"] in KINDS for n in row["names"]]
    return [n for n, p, kind in claimed if p.grad is not None and not radial_cosine(p, p.grad, kind) < delta]


def _kinds(
    model: nn.Module,
    named: Mapping[str, Tensor],
    invariance: str | Mapping[str, Sequence[str]] | None,
    example: Tensor | None,
) -> dict[str, str]:
    if invariance is None:
        try:
            return scale_invariant(model, example)
        except ValueError:
            return {}
    if isinstance(invariance, str):
        if invariance not in ("none", "auto"):
            raise ValueError(f"invariance: unknown {invariance!r}; allowed: none, auto, or patterns by kind")
        return scale_invariant(model, example) if invariance == "auto" else {}
    kinds: dict[str, str] = {}
    for kind, patterns in invariance.items():
        if kind not in KINDS:
            raise ValueError(f"invariance: unknown kind {kind!r}; allowed: {', '.join(KINDS)}")
        for name in _matches(f"invariance.{kind}", patterns, named):
            if kinds.setdefault(name, kind) != kind:
                raise ValueError(f"invariance: {name} is matched as {kinds[name]} and as {kind}")
            if named[name].ndim < 2:
                raise ValueError(f"invariance.{kind}: {name} has {named[name].ndim} dims; allowed: 2 or more")
    return kinds


def _undecayed(model: nn.Module, named: Mapping[str, Tensor], no_decay: str | Sequence[str]) -> set[str]:
    if not isinstance(no_decay, str):
        return _matches("no_decay", no_decay, named)
    if no_decay not in ("none", "bias_and_norm"):
        raise ValueError(f"no_decay: unknown {no_decay!r}; allowed: none, bias_and_norm, or a list of patterns")
    if no_decay == "none":
        return set()
    norms = {id(p) for m in model.modules() if isinstance(m, _NORMS) for p in m.parameters(recurse=False)}
    return {n for n, p in named.items() if p.ndim < 2 or n.endswith("bias") or id(p) in norms}


def _matches(key: str, patterns: Sequence[str], names: Iterable[str]) -> set[str]:
    """Return the names that any pattern matches; a pattern without a match is the user's mistake."""
    names = list(names)
    found: set[str] = set()
    for pattern in patterns:
        hits = fnmatch.filter(names, pattern)
        if not hits:
            raise ValueError(f"{key}: pattern {pattern!r} matches no parameter{near(pattern, names, cutoff=0)}")
        found.update(hits)
    return found


def _inputs(model: nn.Module) -> Iterable[Tensor]:
    """Guess inputs: two images for the first convolution, at usual sizes, rows for the first linear map, or words."""
    layers = (nn.Conv2d, nn.Linear, nn.Embedding)
    first = next((m for m in model.modules() if isinstance(m, layers)), None)
    dtype = next(model.parameters()).dtype
    if isinstance(first, nn.Linear):
        yield torch.empty(2, first.in_features, dtype=dtype, device="meta")
    if isinstance(first, nn.Embedding):
        yield torch.empty(2, 4, dtype=torch.int64, device="meta")
    if isinstance(first, nn.Conv2d):
        for size in _IMAGE_SIZES:
            yield torch.empty(2, first.in_channels, size, size, dtype=dtype, device="meta")


_WEIGHTED = {"conv1d", "conv2d", "conv3d", "linear"}
_TRANSPOSED = {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
_PER_CHANNEL = {"batch_norm", "instance_norm", "sync_batch_norm"}
_ACROSS_CHANNELS = {"layer_norm", "group_norm", "rms_norm"}
_VIEWS = {
    *("view", "reshape", "flatten", "unflatten", "transpose", "permute", "movedim", "squeeze", "unsqueeze"),
    *("contiguous", "clone", "detach", "to", "float", "type_as", "reshape_as", "view_as"),
}


class _Flow(TorchFunctionMode):
    """Follows each weight through the calls of one forward pass.

    A tensor that scales with weights carries their names, and for each whether a part of it does not scale
    along (a bias, a neighbour in a concatenation): a norm over single channels allows that, others do not.
    """

    TAG = "_scales_with"

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._kinds: dict[str, set[str]] = {}
        self._spoilt: set[str] = set()
        for name, weight in weights.items():
            setattr(weight, self.TAG, {name: False})

    def found(self) -> dict[str, str]:
        """Return name -> kind of the weights that went into normalisations and nowhere else."""
        kept = {name: kinds for name, kinds in self._kinds.items() if name not in self._spoilt}
        return {name: "channel" if kinds == {"channel"} else "layer" for name, kinds in kept.items()}

    def spoil(self, values: Iterable[Any]) -> None:
        """Note a use that a change of scale would show in."""
        for value in values:
            self._spoilt.update(getattr(value, self.TAG, ()))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        tagged = [v for v in tree_leaves((args, kwargs)) if getattr(v, self.TAG, None)]
        if tagged and any(isinstance(value, Tensor) for value in tree_leaves(output)):  # not a question of shape
            used, tag = self._through(func.__name__, args, kwargs)
            self.spoil(value for value in tagged if not any(value is one for one in used))
            if tag:
                setattr(output, self.TAG, tag)
        return output

    def _through(self, call: str, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, bool]]:
        """Return the arguments whose scale the call removes or passes on, and what its output scales with."""
        if call in _WEIGHTED | _TRANSPOSED:
            weight = kwargs.get("weight", args[1] if len(args) > 1 else None)
            bias = kwargs.get("bias", args[2] if len(args) > 2 else None)
            tag = {n: partial or bias is not None for n, partial in getattr(weight, self.TAG, {}).items()}
            if call in _TRANSPOSED:
                self._note(tag, "layer")
            return [weight], tag
        if call == "_weight_norm":  # of a direction, args[0], whose rows are divided by their norms, and their lengths
            tag = getattr(args[0], self.TAG, {})
            self._note(tag, "channel" if args[2] == 0 else "layer")
            return [args[0]], {}
        if call in _PER_CHANNEL | _ACROSS_CHANNELS:
            source = kwargs.get("input", args[0] if args else None)
            tag = getattr(source, self.TAG, {})
            kept = {n: p for n, p in tag.items() if call in _PER_CHANNEL or not p}
            self._note(kept, "channel" if call in _PER_CHANNEL else "layer")
            return [source] if kept == tag else [], {}
        if call in _VIEWS:
            return list(args), getattr(args[0], self.TAG, {})  # a second one lends its shape alone
        if call in ("cat", "concat") and kwargs.get("dim", args[1] if len(args) > 1 else 0) == 1:
            tags = [getattr(part, self.TAG, {}) for part in args[0]]
            return list(args[0]), {name: True for tag in tags for name in tag}
        return [], {}

    def _note(self, names: Iterable[str], kind: str) -> None:
        for name in names:
            self._kinds.setdefault(name, set()).add(kind)
