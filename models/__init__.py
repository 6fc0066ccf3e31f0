"""Architectures, one family a file: own code for the CIFAR forms, torchvision and timm for the ImageNet forms."""

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

FACTS = ("num_classes", "in_channels", "image_size")
RESERVED = frozenset(
    {"name", "target", "version", "ranges", "sources", "input", "force", "task", "weights", "fingerprint"}
)


def build(options: Mapping[str, Any], data: Mapping[str, Any]) -> nn.Module:
    """Build a network from its composed configuration, with freshly drawn weights.

    options: a `conf/model` yaml: `target`, its keywords, and reserved keys, which are not passed on (`weights` is, to a
    target that names it and so reads them itself). data: what is
    known of the data set; of its num_classes, in_channels and image_size (pixels) a target gets those that its
    signature names, and a function with **kwargs num_classes. Raises ValueError, one line, for a target that cannot be
    imported or called so, or that returns no net. Whether the net suits the images is a rule of conf/validate.py.
    """
    name = options.get("name", options["target"])
    target = _resolved(str(options["target"]))
    keywords = {key: value for key, value in options.items() if key not in RESERVED}
    takes = inspect.signature(target).parameters.values()
    named = {p.name for p in takes if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    if inspect.isfunction(target) and any(p.kind is p.VAR_KEYWORD for p in takes):
        named.add("num_classes")  # as torchvision's functions take it
    if "args" not in named:  # of any class: model=custom
        keywords |= keywords.pop("args", {})
    facts = {key: data[key] for key in FACTS if key in data} | {"name": name}
    keywords = {key: value for key, value in facts.items() if key in named} | keywords
    if "weights" in named:
        keywords["weights"] = options["weights"]
    net = _called(target, keywords, f"model={name}: {options['target']}")
    if options.get("weights") and "weights" not in named:
        load_weights(getattr(net, "pretrained_part", net), Path(options["weights"]), getattr(net, "cut", None))
    return net


def _called(target: Callable[..., object], keywords: Mapping[str, Any], what: str) -> nn.Module:
    try:
        inspect.signature(target).bind(**keywords)
    except TypeError as error:
        raise ValueError(f"{what}: {error}") from error
    try:
        net = target(**keywords)
    except (ValueError, ImportError, OSError):
        raise
    except Exception as error:  # whatever a user's own code raises
        said = f"{type(error).__name__}: {_line(error)}"
        raise ValueError(f"{what} raised {said} (traceback=true shows where)") from error
    if not isinstance(net, nn.Module):
        raise ValueError(f"{what} returned {type(net).__name__}, not a torch.nn.Module")
    if any(isinstance(parameter, UninitializedParameter) for parameter in net.parameters()):
        raise ValueError(f"{what} has lazy layers, whose sizes are not known before the first batch; name the sizes")
    return net


def load_weights(net: nn.Module, file: Path, cut: str | None = None) -> None:
    """Give a net the weights of a state dict, in .safetensors or what torch.save wrote; nothing of it is executed.

    cut: what the names of a classifier in the file begin with, which the net does without.

    Tensors whose shape is another stay as drawn, as those of a head for other classes; a line says which. Raises
    ValueError, one line, for a file that cannot be read or that has none of the net's tensors in their shapes, and for
    tensors that the net does not have, or that the file does not.
    """
    stored, own = _stored(file), net.state_dict()
    stored = {name: tensor for name, tensor in stored.items() if cut is None or not name.startswith(cut)}
    if odd := sorted(stored.keys() ^ own.keys()):
        raise ValueError(f"model.weights: {file}: {len(odd)} names are not in both the file and the net, e.g. {odd[0]}")
    fresh = [name for name, tensor in own.items() if stored[name].shape != tensor.shape]
    if len(fresh) > len(own) / 2:
        raise ValueError(
            f"model.weights: {file}: {len(fresh)} of {len(own)} tensors have other shapes, e.g. {fresh[0]}"
        )
    net.load_state_dict({name: tensor for name, tensor in stored.items() if name not in fresh}, strict=False)
    if fresh:
        print(f"model.weights: fresh, for they have other shapes in the file: {', '.join(fresh)}", flush=True)


def _stored(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever unpickling another file raises
        raise ValueError(f"model.weights: {file} cannot be read: {_line(error)}") from error
    found = next((found[key] for key in ("state_dict", "model") if isinstance(found, dict) and key in found), found)
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise ValueError(f"model.weights: {file} is not a state dict: names and tensors")
    return found


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _resolved(target: str) -> Callable[..., object]:
    try:
        found: Callable[..., object] = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"model.target: cannot import {target!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"model.target: {target!r} is not callable")
    return found
