"""Readers of the papers' data sets: `load` turns a data configuration into device-ready splits."""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

from data.needed import look

if TYPE_CHECKING:  # what takes torch is imported when a set is read
    from data.dataset import Dataset, Place

__all__ = ["load", "look"]

FACTS = ("num_classes", "in_channels", "image_size", "task")
RESERVED = ("name", "target", "version", "ranges", "sources", *FACTS)


def load(options: Mapping[str, Any], place: "Place") -> "Dataset":
    """Read the data set that `options` (a composed conf/data yaml) describes, from and to a `Place`.

    options: `target`, the reader, which gets the place, with the facts that the options state, and the keys that its
    signature names. A reader with a parameter `recipe` gets one of the others; else they are its keywords too.
    Raises FileNotFoundError with one line that says how to get a missing set; ValueError naming a file that is not
    as it should be, or a fact (num_classes, ...) that the files contradict.
    """
    facts = {key: options[key] for key in FACTS if key in options}
    reader = _reader(options["target"])
    if "args" in options:  # a function of the user's that returns torch's data sets
        from data.custom import from_torch

        reader = partial(from_torch, reader)
    dataset = reader(replace(place, facts=facts, name=str(options.get("name", ""))), **_keywords(reader, options))
    for key, stated in facts.items():
        if stated != getattr(dataset, key):
            raise ValueError(f"data.{key}: {stated!r}, but {options['target']} has {getattr(dataset, key)!r}")
    return dataset


def _reader(target: str) -> "Callable[..., Dataset]":
    try:
        found: Callable[..., Dataset] = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"data.target: cannot import {target!r}: {error}") from error
    if not callable(found):
        raise ValueError(f"data.target: {target!r} is not callable")
    return found


def _keywords(reader: "Callable[..., Dataset]", options: Mapping[str, Any]) -> dict[str, Any]:
    from data.augment import Augment
    from data.memory import Recipe

    given = {key: value for key, value in options.items() if key not in RESERVED}
    named = signature(reader).parameters
    if "recipe" not in named:
        return given
    recipe = {key: given.pop(key) for key in [*given] if key not in named}
    recipe["augment"] = Augment(**recipe.get("augment", {}))
    return given | {"recipe": Recipe(**recipe)}
