"""Images of your own: a folder of class folders, or one with a csv of labels (data/listing.py says which layouts).

Images are brought to squares of one size once: the shorter side is resized, the middle is cut out. Small sets are held
as bytes on the device, large ones are decoded batch by batch; both give the same batches, to the bit.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from data.augment import DRAWS, Transform
from data.custom import with_normalisation
from data.dataset import Dataset, Place, Split, held_out, uniform
from data.files import read_rgb
from data.listing import Listing, listed
from data.memory import MemorySplit, Recipe
from data.stored import Bytes, stored
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
    parts = _parts(listing, recipe, test)
    held = listing.of("validation")
    if held and recipe.validation != len(held) / (len(held) + len(listing.of("train"))):
        raise ValueError(f"data.validation: {recipe.validation}, but {root} has a part of its own for validation")
    images = _Images(root, listing, place, str(fingerprint), stream)
    recipe = with_normalisation(recipe, images.image, parts["train"])
    splits = {part: images.split(samples, recipe, part) for part, samples in parts.items() if samples}
    return Dataset(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits["test"],
        task="multiclass",
        num_classes=len(listing.classes),
        in_channels=images.channels,
        image_size=images.side,
        fingerprint=str(fingerprint),
    )


def _parts(listing: Listing, recipe: Recipe, test: float) -> dict[str, list[int]]:
    """Return the places of each part's images in the listing."""
    places = {part: _places(listing, part) for part in ("", "train", "validation", "test")}
    if places[""]:
        places["train"], places["test"] = _drawn(places[""], test, recipe.split_seed, "data.test")
    if not places["validation"] and recipe.validation:
        places["train"], places["validation"] = _drawn(
            places["train"], recipe.validation, recipe.split_seed, "data.validation"
        )
    return {part: places[part] for part in ("train", "validation", "test")}


def _places(listing: Listing, part: str) -> list[int]:
    return [index for index, sample in enumerate(listing.samples) if sample.part == part]


def _drawn(places: Sequence[int], share: float, seed: int, key: str) -> tuple[list[int], list[int]]:
    kept, drawn = held_out(len(places), share, seed)
    if drawn is None:
        raise ValueError(f"{key}: {share} leaves no images")
    return [places[index] for index in kept], [places[index] for index in drawn]


class _Images:
    """All images of a folder as bytes [C, side, side], in memory or on disk."""

    def __init__(self, root: Path, listing: Listing, place: Place, fingerprint: str, stream: bool | None) -> None:
        self.place, self.channels, self.side = place, place.facts["in_channels"], place.facts["image_size"]
        if self.channels not in (1, 3):
            raise ValueError(f"data.in_channels: {self.channels} is not one of 1 (grey), 3 (colour)")
        self.paths = [str(root / sample.file) for sample in listing.samples]
        self.labels = torch.tensor(_labels(listing))
        self.view = View(eval_size=self.side, eval_ratio=1.0)
        shape = (len(self.paths), self.channels, self.side, self.side)
        large = torch.Size(shape).numel() > LARGEST
        self.pixels: Tensor | None = None
        if not (large if stream is None else stream):
            folder = place.cache / f"folder-{fingerprint[:16]}-{self.channels}x{self.side}"
            self.pixels = stored(folder, "images", shape, self._fill)[0].to(place.device)

    def _fill(self, images: Bytes) -> None:
        with ThreadPoolExecutor() as pool:
            for index, pixels in enumerate(pool.map(self.image, range(len(self.paths)))):
                images[index] = pixels.numpy()

    def image(self, index: int) -> Tensor:
        """Return an image as bytes [C, side, side]."""
        if self.pixels is not None:
            return self.pixels[index].cpu()
        return self.view.centre(read_rgb(self.paths[index]))[: self.channels]

    def split(self, places: list[int], recipe: Recipe, part: str) -> Split:
        """Return the split of the images at these places of the listing."""
        transform = Transform(recipe.normalise, recipe.augment, **self.place.batch_format)
        always = part == "validation" and recipe.augment_validation
        chosen = torch.tensor(places)
        if self.pixels is not None:
            return MemorySplit(self.pixels, self.labels.to(self.place.device), transform, chosen, always)
        paths = [self.paths[index] for index in places]
        plain = StreamSplit(paths, self.labels[chosen], self.view, _AsBytes(self.channels), self.place)
        return FileSplit(plain, transform, always)


def _labels(listing: Listing) -> list[int]:
    places = {name: place for place, name in enumerate(listing.classes)}
    return [places[sample.label] for sample in listing.samples]


class _AsBytes(Transform):
    """Leaves a batch of decoded images as it is, in the wanted number of channels."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def __call__(self, images: Tensor, draws: Tensor | None = None) -> Tensor:
        return images[:, : self.channels].contiguous()


class FileSplit:
    """Images that are decoded as they are wanted, and augmented as those in memory are."""

    def __init__(self, files: StreamSplit, transform: Transform, always_augment: bool) -> None:
        self.files, self.transform, self.always_augment = files, transform, always_augment

    def __len__(self) -> int:
        return len(self.files)

    @property
    def targets(self) -> Tensor:
        """All targets of this split, in the order of positions."""
        return self.files.targets

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a batch on the device for each tensor of positions: see data.dataset.Split."""
        key = 0 if key is None and self.always_augment else key
        wanted, drawn = itertools.tee(order)
        for positions, (images, targets) in zip(drawn, self.files.batches(wanted), strict=True):
            draws = None if key is None else uniform(key, positions, DRAWS).to(images.device)
            yield self.transform(images, draws), targets
