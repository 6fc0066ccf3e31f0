"""Architectures, one family a file: own code for the CIFAR forms, torchvision and timm for the ImageNet forms."""

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

FACTS = ("num_classes", "in_channels", "image_size")
RESERVED = frozenset({"name", "target", "version", "ranges", "sources", "input", "force", "task"})


def build(options: Mapping[str, Any], data: Mapping[str, Any]) -> nn.Module:
    """Build a network from its composed configuration, with freshly drawn weights.

    options: a `conf/model` yaml: `target`, its keywords, and reserved keys, which are not passed on. data: what is
    known of the data set; of its num_classes, in_channels and image_size (pixels) a target gets those that its
    signature names. Raises ValueError, one line, for
    a target that cannot be imported or called so. Whether the net suits the images is a rule of conf/validate.py.
    """
    name = options.get("name", options["target"])
    target = _resolved(str(options["target"]))
    facts = {key: data[key] for key in FACTS if key in data} | {"name": name}
    signature = inspect.signature(target)
    keywords = {key: value for key, value in options.items() if key not in RESERVED}
    keywords |= {key: value for key, value in facts.items() if key in signature.parameters}
    try:
        signature.bind(**keywords)
    except TypeError as error:
        raise ValueError(f"model={name}: {options['target']}: {error}") from error
    return target(**keywords)


def _resolved(target: str) -> Callable[..., nn.Module]:
    try:
        found: Callable[..., nn.Module] = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"model.target: cannot import {target!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"model.target: {target!r} is not callable")
    return found
