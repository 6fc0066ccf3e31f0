"""Data sets that fit on the device: held there whole as uint8, gathered and augmented there, batch by batch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from data.augment import PLAIN, Augment, Transform
from data.dataset import Dataset, Place, fingerprint, held_out, uniform
from data.files import whole_numbers

Arrays = tuple[Tensor, Tensor]  # images uint8 [N, C, H, W], targets [N, ...]
AS_STORED = {"mean": [0.0], "std": [1.0]}


@dataclass(frozen=True)
class Recipe:
    """How a reader's arrays are used; its fields are keys of the configuration.

    augment: what is drawn for a training image. normalise: mean and std of each channel, of images in [0, 1].
    validation: the fraction of the training set that is held out, by data.dataset.held_out with split_seed.
    augment_validation: validation images are augmented too, as in AdamSRT's code; the same draws every time.
    train: how many of the remaining images train, the first in the order of that draw; 0 takes all.
    """

    augment: Augment = PLAIN
    normalise: Mapping[str, Sequence[float]] = field(default_factory=lambda: AS_STORED)
    validation: float = 0.0
    split_seed: int = 0
    augment_validation: bool = False
    train: int = 0


class MemorySplit:
    """Images and targets on one device. `samples` chooses among them; None takes all, in their order."""

    def __init__(
        self,
        images: Tensor,
        targets: Tensor,
        transform: Transform,
        samples: Tensor | None = None,
        always_augment: bool = False,
    ) -> None:
        self.images, self.transform, self.always_augment = images, transform, always_augment
        self.samples = None if samples is None else samples.to(images.device)
        self._targets = targets
        self._size = len(images) if samples is None else len(samples)

    def __len__(self) -> int:
        return self._size

    @property
    def targets(self) -> Tensor:
        """All targets of this split, in the order of positions."""
        return self._targets if self.samples is None else self._targets.index_select(0, self.samples)

    def identities(self) -> Iterator[bytes]:
        """Yield each sample's pixels: equal for equal images, whatever is made of them."""
        images = self.images if self.samples is None else self.images.index_select(0, self.samples)
        return (image.tobytes() for image in images.cpu().numpy())

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a batch on the device for each tensor of positions: see data.dataset.Split."""
        key = 0 if key is None and self.always_augment else key
        for positions in order:
            yield self._batch(positions, None if key is None else uniform(key, positions, self.transform.augment.draws))

    def _batch(self, positions: Tensor, draws: Tensor | None) -> tuple[Tensor, Tensor]:
        device = self.images.device
        index = positions.to(device, non_blocking=True)
        if self.samples is not None:
            index = self.samples.index_select(0, index)
        draws = None if draws is None else draws.to(device, non_blocking=True)
        return self.transform(self.images.index_select(0, index), draws), self._targets.index_select(0, index)


def in_memory(
    place: Place,
    recipe: Recipe,
    train: Arrays,
    test: Arrays,
    *,
    num_classes: int,
    task: str = "multiclass",
    validation: Arrays | None = None,
    digest: str = "",
) -> Dataset:
    """Put a reader's arrays on the device as a Dataset; validation, if given, is the set's own held-out part.

    digest: the fingerprint, where the reader already knows it.
    """
    digest = digest or fingerprint(*train, *test, *(validation or ()))
    transform = Transform(recipe.normalise, recipe.augment, **place.batch_format)
    train = (train[0].to(place.device), train[1].to(place.device))  # once: two splits may share them
    fit, rest = held_out(len(train[0]), recipe.validation, recipe.split_seed, recipe.train)

    def split(arrays: Arrays, samples: Tensor | None = None, always_augment: bool = False) -> MemorySplit:
        images, targets = (tensor.to(place.device) for tensor in arrays)
        return MemorySplit(images, targets, transform, samples, always_augment)

    if rest is not None:
        held: MemorySplit | None = split(train, rest, recipe.augment_validation)
    else:
        held = None if validation is None else split(validation)
    return Dataset(
        train=split(train, None if len(fit) == len(train[0]) else fit),
        validation=held,
        test=split(test),
        task=task,
        num_classes=num_classes,
        in_channels=train[0].shape[1],
        image_size=train[0].shape[-1],
        fingerprint=digest,
    )


def labelled(images: Tensor, labels: ArrayLike, num_classes: int, source: Path | str) -> Arrays:
    """Check a reader's class indices, int64 from here on.

    Raises ValueError naming the source of a label that is no whole number or out of range, or of no images at all.
    """
    numbers = torch.from_numpy(whole_numbers(labels, source)).reshape(-1)
    if not len(images):
        raise ValueError(f"{source}: no images")
    if len(images) != len(numbers):
        raise ValueError(f"{source}: {len(images)} images but {len(numbers)} labels")
    wrong = numbers[(numbers < 0) | (numbers >= num_classes)]
    if len(wrong):
        raise ValueError(f"{source}: label {int(wrong[0])} is out of range; allowed: 0 to {num_classes - 1}")
    return images, numbers
