"""Torch data sets of your own: `data=custom data.target=my.module.dataset`, a function that returns them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.dataset import Dataset, Place, drawn, held_out
from data.files import complaint
from data.memory import Arrays, Recipe, in_memory, labelled

PARTS = ("train", "test", "validation")
AS_IT_IS = {"mean": [0.0], "std": [1 / 255]}  # bytes are divided by 255 before they are normalised
MEASURED = 4096  # training images, evenly spaced, of which mean and standard deviation are measured


def from_torch(
    function: Callable[..., object],
    place: Place,
    recipe: Recipe,
    *,
    path: str | None = None,
    args: Mapping[str, object] | None = None,
    test: float = 0.2,
    fingerprint: str | None = None,
) -> Dataset:
    """Call a function of the user's, and read each sample of its data sets once.

    function: takes `args` as keywords, and `path` if it names it. Returns {train, test, perhaps validation}, a tuple in
    this order, or one data set, of which the share `test` is held out by data.dataset.held_out. A sample is (image,
    label). Images are all of one shape: PIL's, or arrays of bytes [H, W], [H, W, C] or [C, H, W], which are normalised
    as the recipe says (measured on the training part where it says None), or of floats [C, H, W], which are not.
    fingerprint: of the files at `path`; the data set's own is of what was read. Raises ValueError, one line, for
    anything else.
    """
    keywords = dict(args or {}) | ({"path": path} if "path" in signature(function).parameters else {})
    parts = {part: _read(part, samples, place) for part, samples in _parts(_called(function, keywords)).items()}
    if "test" not in parts:
        images, labels = parts["train"]
        chosen = drawn(len(images), test, recipe.split_seed, "data.test")
        parts["train"], parts["test"] = ((images[places], labels[places]) for places in chosen)
    if "validation" in parts:
        recipe = _keeping_own_part(recipe, *(len(parts[part][0]) for part in ("train", "validation")))
    images = parts["train"][0]
    if images.is_floating_point():
        recipe = replace(recipe, normalise=AS_IT_IS)
    fitted, _ = held_out(len(images), recipe.validation, recipe.split_seed)
    recipe = with_normalisation(recipe, images.__getitem__, fitted.tolist())
    facts = {"num_classes": place.facts["num_classes"], "task": place.facts["task"]}
    return in_memory(place, recipe, parts["train"], parts["test"], validation=parts.get("validation"), **facts)


def _keeping_own_part(recipe: Recipe, train: int, held: int) -> Recipe:
    """Return a recipe that draws no validation part; it may name the share of the set's own, as a folder's does."""
    share = held / (held + train)
    if recipe.validation and abs(recipe.validation - share) > 1e-3:
        raise ValueError(f"data.validation: {recipe.validation}, but the set has a part of its own: {share:.4g} or 0")
    return replace(recipe, validation=0.0)


def with_normalisation(recipe: Recipe, image: Callable[[int], Tensor], places: Sequence[int]) -> Recipe:
    """Return a recipe with each channel's mean and standard deviation measured, where it has none.

    image: returns the bytes [C, H, W] of a place. places: of the training images. Raises ValueError for other numbers
    of channels.
    """
    channels = len(image(places[0]))
    for key, values in recipe.normalise.items():
        if values and len(values) not in (1, channels):
            raise ValueError(f"data.normalise.{key}: {len(values)} numbers, but the images have {channels} channels")
    if all(recipe.normalise.values()):
        return recipe
    total, squares, count = torch.zeros(()).double(), torch.zeros(()).double(), 0
    for index in places[:: -(-len(places) // MEASURED)]:
        pixels = image(index).double().flatten(1) / 255
        total, squares, count = total + pixels.sum(1), squares + (pixels**2).sum(1), count + pixels.shape[1]
    mean = total / count
    std = (squares / count - mean**2).clamp_min(1e-12).sqrt()
    found = {"mean": mean.tolist(), "std": std.tolist()}
    return replace(recipe, normalise={key: recipe.normalise[key] or value for key, value in found.items()})


@contextmanager
def _of_the_user(what: str) -> Iterator[None]:
    """Word whatever the user's own code raises as a ValueError of one line."""
    try:
        yield
    except Exception as error:
        said = f"{type(error).__name__}: {complaint(error)}"
        raise ValueError(f"data.target: {what} raised {said} (traceback=true shows where)") from error


def _called(function: Callable[..., object], keywords: Mapping[str, object]) -> object:
    try:
        signature(function).bind(**keywords)
    except TypeError as error:
        raise ValueError(f"data.args: {error}; data.target takes {signature(function)}") from error
    with _of_the_user("the function"):
        return function(**keywords)


def _parts(returned: object) -> dict[str, Any]:
    if isinstance(returned, tuple):
        returned = dict(zip([*PARTS, "a fourth"], returned, strict=False))
    parts: dict[str, Any] = returned if isinstance(returned, dict) else {"train": returned}
    for part, samples in parts.items():
        if part not in PARTS or not (hasattr(samples, "__getitem__") and hasattr(samples, "__len__")):
            raise ValueError(f"data.target: returned {part}: {type(samples).__name__}; allowed: data sets {PARTS}")
        if not len(samples):
            raise ValueError(f"data.target: {part} has no samples")
    return parts


def _read(part: str, samples: Any, place: Place) -> Arrays:
    with _of_the_user(f"a sample of {part}"):
        pairs = [samples[index] for index in range(len(samples))]
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"data.target: the samples of {part} are not (image, label)")
    images = [_image(f"{part}[{index}]", image) for index, (image, _) in enumerate(pairs)]
    shapes = {(tuple(image.shape), image.dtype) for image in images}
    wanted = (place.facts["in_channels"], *[place.facts["image_size"]] * 2)
    if {shape for shape, _ in shapes} != {wanted} or len(shapes) > 1:
        found = ", ".join(sorted(f"{'x'.join(map(str, shape))} ({dtype})" for shape, dtype in shapes)[:3])
        said = "data.in_channels and data.image_size say"
        raise ValueError(f"data.target: {part} has images of {found}; {said} {'x'.join(map(str, wanted))}")
    labels, classes = _labels(part, [label for _, label in pairs]), place.facts["num_classes"]
    if place.facts["task"] == "multilabel":
        if labels.shape[1:] != (classes,) or not ((labels == 0) | (labels == 1)).all():
            raise ValueError(f"data.target: the labels of {part} are not {classes} of 0 or 1 a sample")
        return torch.stack(images), labels
    if labels.ndim > 1:
        raise ValueError(f"data.target: {part} has {len(labels[0])} labels a sample, which is data.task=multilabel")
    return labelled(torch.stack(images), labels.numpy(), classes, f"data.target: {part}")


def _labels(part: str, labels: Sequence[Any]) -> Tensor:
    try:
        return torch.stack([torch.as_tensor(label) for label in labels])
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"data.target: the labels of {part} are not numbers of one shape, e.g. {labels[0]!r}"
        ) from error


def _image(where: str, image: object) -> Tensor:
    """Return an image as a tensor [C, H, W] of bytes or floats."""
    if getattr(image, "mode", None) == "P":
        raise ValueError(f"data.target: {where} has a palette, whose places are no colours; convert it, e.g. to RGB")
    array = image.numpy() if isinstance(image, Tensor) else np.array(image)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.dtype.kind not in "uf" or (array.dtype.kind == "u" and array.dtype != np.uint8):
        found = f"{array.dtype} {list(array.shape)}"
        raise ValueError(f"data.target: {where} is {found}; allowed: bytes or floats, [C, H, W]")
    if array.dtype == np.uint8 and array.shape[0] not in (1, 3) and array.shape[2] in (1, 3):
        array = array.transpose(2, 0, 1)
    return torch.from_numpy(array if array.dtype == np.uint8 else array.astype(np.float32))
