"""Readers of the papers' data sets: `load` turns a data configuration into device-ready splits."""

from collections.abc import Callable, Mapping
from importlib import import_module
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

    root: the folder of the user's files, only read. cache: for derived files and stand-ins.
    dtype, channels_last: of the image batches, float32 unless said. workers: processes that decode a streamed set; no
    effect on results.
    Raises FileNotFoundError with one line that says how to get a missing set; ValueError naming a file that is not
    as it should be, or a fact (num_classes, ...) that the files contradict.
    """
    import torch

    from data.dataset import Place

    facts = {key: options[key] for key in FACTS if key in options}
    place = Place(Path(root), Path(cache), device, dtype or torch.float32, channels_last, workers, facts)
    keywords = {key: value for key, value in options.items() if key not in RESERVED}
    dataset = _imported(options["target"])(place, **keywords)
    for key, stated in facts.items():
        if stated != getattr(dataset, key):
            raise ValueError(f"data.{key}: {stated!r}, but {options['target']} has {getattr(dataset, key)!r}")
    return dataset


def _imported(target: str) -> "Callable[..., Dataset]":
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"data.target: cannot import {target!r}: {error}") from error
