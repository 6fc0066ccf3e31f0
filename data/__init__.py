"""Readers of the papers' data sets: `load` turns a data configuration into device-ready splits."""

import pkgutil
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.needed import look

if TYPE_CHECKING:  # what takes torch is imported when a set is read
    import torch

    from data.dataset import Dataset

__all__ = ["load", "look"]

FACTS = ("num_classes", "in_channels", "image_size", "task")
RESERVED = ("name", "target", "version", "ranges", "sources", *FACTS)


def load(
    options: Mapping[str, Any],
    *,
    root: Path,
    cache: Path,
    device: "torch.device | str" = "cpu",
    dtype: "torch.dtype | None" = None,
    channels_last: bool = False,
    workers: int = 0,
) -> "Dataset":
    """Read the data set that `options` (a composed conf/data yaml) describes.

    options: `target`, the reader, which gets a Place and the keys that its signature names. A reader with a parameter
    `recipe` gets one of the others; else they are its keywords too.
    root: the folder of the user's files, only read. cache: for derived files and synthetic data.
    dtype, channels_last: of the image batches, float32 unless said. workers: processes that decode a streamed set; no
    effect on results.
    Raises FileNotFoundError with one line that says how to get a missing set; ValueError naming a file that is not
    as it should be, or a fact (num_classes, ...) that the files contradict.
    """
    import torch

    from data.dataset import Place

    facts = {key: options[key] for key in FACTS if key in options}
    place = Place(Path(root), Path(cache), device, dtype or torch.float32, channels_last, workers, facts)
    reader = _reader(options["target"])
    dataset = reader(place, **_keywords(reader, options))
    for key, stated in facts.items():
        if stated != getattr(dataset, key):
            raise ValueError(f"data.{key}: {stated!r}, but {options['target']} has {getattr(dataset, key)!r}")
    return dataset


def _reader(target: str) -> "Callable[..., Dataset]":
    try:
        found: Callable[..., Dataset] = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"data.target: cannot import {target!r}: {error}") from error
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
