"""Images of your own: a folder of class folders, or one with a csv of labels (data/listing.py says which layouts).

Images are brought to squares of one size once: the shorter side is resized, the middle is cut out. Small sets are held
as bytes on the device, large ones are decoded batch by batch; both give the same batches, to the bit.
"""

from pathlib import Path

import torch
from torch import Tensor

from data.augment import Transform
from data.custom import with_normalisation
from data.dataset import Dataset, Place, Split, drawn
from data.files import read_rgb
from data.listing import PARTS, Listing, listed
from data.memory import MemorySplit, Recipe
from data.stored import Bytes, stored_images
from data.streaming import StreamSplit, View

LARGEST = 2**31  # bytes of pixels that are held in memory, unless `stream` says otherwise


def folder(
    place: Place,
    recipe: Recipe,
    *,
    path: str | None = None,
    labels: str = "labels.csv",
    test: float = 0.2,
    stream: bool | None = None,
    fingerprint: str | None = None,
) -> Dataset:
    """Read a folder of images; classes are sorted by name, numbers by value.

    path, labels: as for data.listing.listed. test: the share that is tested on where the folder has no parts, the last
    of torch.randperm under the recipe's split_seed. stream: decode as the batches come; None does so above LARGEST.
    fingerprint: of the content, as data.listing found it. The recipe's normalisation is measured on the training part
    where it is None. Raises FileNotFoundError or ValueError, one line.
    """
    root = Path(str(path))
    listing = listed(root, labels)
    if listing.held_share and recipe.validation != listing.held_share:
        raise ValueError(f"data.validation: {recipe.validation}, but {root} has a part of its own for validation")
    parts = _parts(listing, recipe, test)
    images = _Images(root, listing, place, str(fingerprint), stream)
    recipe = with_normalisation(recipe, images.image, parts["train"].tolist())
    return Dataset(
        train=images.split(parts["train"], recipe),
        validation=images.split(parts["validation"], recipe, recipe.augment_validation)
        if "validation" in parts
        else None,
        test=images.split(parts["test"], recipe),
        task="multiclass",
        num_classes=len(listing.classes),
        in_channels=images.view.channels,
        image_size=images.view.eval_size,
        fingerprint=str(fingerprint),
    )


def _parts(listing: Listing, recipe: Recipe, test: float) -> dict[str, Tensor]:
    """Return the places of each part's images in the listing; a part of none is left out."""
    named = {part: [n for n, sample in enumerate(listing.samples) if sample.part == part] for part in ("", *PARTS)}
    parts = {part: torch.tensor(places) for part, places in named.items() if places}
    if "" in parts:
        parts["train"], parts["test"] = _drawn(parts.pop(""), test, recipe, "data.test")
    if "validation" not in parts and recipe.validation:
        parts["train"], parts["validation"] = _drawn(parts["train"], recipe.validation, recipe, "data.validation")
    return parts


def _drawn(places: Tensor, share: float, recipe: Recipe, key: str) -> list[Tensor]:
    return [places[chosen] for chosen in drawn(len(places), share, recipe.split_seed, key)]


class _Images:
    """All images of a folder as bytes [C, side, side], in memory or on disk."""

    def __init__(self, root: Path, listing: Listing, place: Place, fingerprint: str, stream: bool | None) -> None:
        self.place, self.view = place, View.square(place.facts)
        self.paths = [str(root / sample.file) for sample in listing.samples]
        number = {name: place for place, name in enumerate(listing.classes)}
        self.targets = torch.tensor([number[sample.label] for sample in listing.samples])
        channels, side = self.view.channels, self.view.eval_size
        shape = (len(self.paths), channels, side, side)
        large = torch.Size(shape).numel() > LARGEST
        self.pixels: Tensor | None = None
        if not (large if stream is None else stream):
            folder = place.cache / f"folder-{fingerprint[:16]}-{channels}x{side}"
            self.pixels = stored_images(folder, shape, self._decoded)[0].to(place.device)
            self.targets = self.targets.to(place.device)

    def _decoded(self, index: int) -> Bytes:
        return self.view.centre(read_rgb(self.paths[index])).numpy()

    def image(self, index: int) -> Tensor:
        """Return an image as bytes [C, side, side]."""
        return torch.from_numpy(self._decoded(index)) if self.pixels is None else self.pixels[index].cpu()

    def split(self, places: Tensor, recipe: Recipe, always_augment: bool = False) -> Split:
        """Return the split of the images at these places of the listing."""
        transform = Transform(recipe.normalise, recipe.augment, **self.place.batch_format)
        if self.pixels is not None:
            return MemorySplit(self.pixels, self.targets, transform, places, always_augment)
        paths = [self.paths[place] for place in places.tolist()]
        return StreamSplit(paths, self.targets[places], self.view, transform, self.place, always_augment)
