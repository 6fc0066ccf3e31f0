"""Architectures, one family a file: own code for the CIFAR forms, torchvision and timm for the ImageNet forms."""

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from torch import nn

RESERVED = frozenset({"name", "target", "version", "ranges", "sources", "input", "force", "task"})
FACTS = ("num_classes", "in_channels", "image_size")
IMAGENET_STEM_MIN = 33  # pixels: 32 and fewer leave the 7x7 stem one output pixel


def build(options: Mapping[str, Any], *, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    """Build a network from its composed configuration, with freshly drawn weights.

    options: a `conf/model` yaml: `target`, its keywords, and reserved keys, which are not passed on. Of num_classes,
    in_channels and image_size (pixels), a target gets those that its signature names. Raises ValueError, one line, for
    a target that cannot be imported or called so, and for an ImageNet stem on an image of 32 pixels or fewer.
    """
    name = options.get("name", options["target"])
    if options.get("input") == "imagenet" and image_size < IMAGENET_STEM_MIN and not options.get("force", False):
        raise ValueError(
            f"model={name}: a 7x7 stem leaves {image_size}-pixel images one pixel; "
            "take the CIFAR form, or set model.force=true"
        )
    target = _resolve(str(options["target"]))
    facts = dict(zip(FACTS, (num_classes, in_channels, image_size), strict=True))
    keywords = {key: value for key, value in options.items() if key not in RESERVED}
    accepted = inspect.signature(target).parameters
    keywords |= {key: value for key, value in facts.items() if key in accepted}
    if "name" in accepted:
        keywords["name"] = name
    try:
        inspect.signature(target).bind(**keywords)
    except TypeError as error:
        raise ValueError(f"model={name}: {options['target']}: {error}") from error
    return target(**keywords)


def _resolve(path: str) -> Callable[..., nn.Module]:
    module, _, attribute = path.rpartition(".")
    try:
        target = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"model.target: cannot import {path!r}: {error}") from error
    if not callable(target):
        raise ValueError(f"model.target: {path!r} is not callable")
    return target
