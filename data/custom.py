"""Torch data sets of your own: `data=custom data.target=my.module.dataset`, a function that returns them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.dataset import Dataset, Place, drawn, held_out
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
    parts = {part: _read(part, samples, place) for part, samples in _parts(function(**keywords)).items()}
    if "test" not in parts:
        images, labels = parts["train"]
        chosen = drawn(len(images), test, recipe.split_seed, "data.test")
        parts["train"], parts["test"] = ((images[places], labels[places]) for places in chosen)
    images = parts["train"][0]
    if images.is_floating_point():
        recipe = replace(recipe, normalise=AS_IT_IS)
    fitted, _ = held_out(len(images), recipe.validation, recipe.split_seed)
    recipe = with_normalisation(recipe, images.__getitem__, fitted.tolist())
    facts = {"num_classes": place.facts["num_classes"], "task": place.facts["task"]}
    return in_memory(place, recipe, parts["train"], parts["test"], validation=parts.get("validation"), **facts)


def with_normalisation(recipe: Recipe, image: Callable[[int], Tensor], places: Sequence[int]) -> Recipe:
    """Return a recipe with each channel's mean and standard deviation measured, where it has none.

    image: returns the bytes [C, H, W] of a place. places: of the training images.
    """
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


def _parts(returned: object) -> dict[str, Any]:
    if isinstance(returned, tuple):
        returned = dict(zip(PARTS, returned, strict=False))
    parts: dict[str, Any] = returned if isinstance(returned, dict) else {"train": returned}
    for part, samples in parts.items():
        if part not in PARTS or not (hasattr(samples, "__getitem__") and hasattr(samples, "__len__")):
            raise ValueError(f"data.target: returned {part}: {type(samples).__name__}; allowed: data sets {PARTS}")
    return parts


def _read(part: str, samples: Any, place: Place) -> Arrays:
    pairs = [samples[index] for index in range(len(samples))]
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"data.target: the samples of {part} are not (image, label)")
    images = [_image(f"{part}[{index}]", image) for index, (image, _) in enumerate(pairs)]
    shapes = {(tuple(image.shape), image.dtype) for image in images}
    wanted = (place.facts["in_channels"], *[place.facts["image_size"]] * 2)
    if {shape for shape, _ in shapes} != {wanted} or len(shapes) > 1:
        found = ", ".join(sorted(f"{'x'.join(map(str, shape))} ({dtype})" for shape, dtype in shapes)[:3])
        said = "data.in_channels and data.image_size say"
        raise ValueError(f"data.target: {part} has images of {found or 'no kind'}; {said} {'x'.join(map(str, wanted))}")
    labels = torch.stack([torch.as_tensor(label) for _, label in pairs])
    if place.facts["task"] != "multiclass":
        return torch.stack(images), labels
    return labelled(torch.stack(images), labels.numpy(), place.facts["num_classes"], f"data.target: {part}")


def _image(where: str, image: object) -> Tensor:
    """Return an image as a tensor [C, H, W] of bytes or floats."""
    array = image.numpy() if isinstance(image, Tensor) else np.array(image)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.dtype.kind not in "uf" or (array.dtype.kind == "u" and array.dtype != np.uint8):
        found = f"{array.dtype} {list(array.shape)}"
        raise ValueError(f"data.target: {where} is {found}; allowed: bytes or floats, [C, H, W]")
    if array.dtype == np.uint8 and array.shape[0] not in (1, 3) and array.shape[2] in (1, 3):
        array = array.transpose(2, 0, 1)
    return torch.from_numpy(array if array.dtype == np.uint8 else array.astype(np.float32))
