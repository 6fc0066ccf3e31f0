"""Image files too many to hold: decoded and transformed by worker processes, a whole batch each, as they are wanted."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader

from data.augment import DRAWS, Transform
from data.dataset import Place, uniform
from data.files import read_rgb

_TRIES = 10  # of RandomResizedCrop, as in torchvision; 4 draws each, then one for the flip
VIEW_DRAWS = 4 * _TRIES + 1


@dataclass(frozen=True)
class View:
    """What is cut out of an image: in training a random part (Szegedy et al. 2015), in evaluation its middle.

    size: side in pixels of the result. scale: share of the area, ratio: width / height, of the random part. flip: left
    and right half of the time. eval_size: side in evaluation, eval_ratio: its share of the shorter side. channels: 1
    takes the first of the three, for grey images. random_part: False takes the middle in training too.
    """

    size: int = 224
    scale: Sequence[float] = (0.08, 1.0)
    ratio: Sequence[float] = (3 / 4, 4 / 3)
    flip: bool = True
    eval_size: int = 224
    eval_ratio: float = 0.875
    channels: int = 3
    random_part: bool = True

    @classmethod
    def square(cls, facts: Mapping[str, Any]) -> "View":
        """Return the view that makes squares of image_size pixels, always of the middle. Raises ValueError."""
        if facts["in_channels"] not in (1, 3):
            raise ValueError(f"data.in_channels: {facts['in_channels']} is not one of 1 (grey), 3 (colour)")
        return cls(eval_size=facts["image_size"], eval_ratio=1.0, channels=facts["in_channels"], random_part=False)

    def random(self, image: Image, draws: Sequence[float]) -> Tensor:
        """Crop, resize and flip an image to uint8 [3, size, size]; draws: VIEW_DRAWS numbers in [0, 1)."""
        from torchvision.transforms.v2 import functional

        box = self.box(image.height, image.width, draws)
        part = self._tensor(functional.resized_crop(image, *box, [self.size, self.size]))
        return part.flip(-1) if self.flip and draws[-1] < 0.5 else part

    def box(self, height: int, width: int, draws: Sequence[float]) -> tuple[int, int, int, int]:
        """Draw (top, left, height, width) as torchvision's RandomResizedCrop does."""
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for area, shape, down, right in zip(*(iter(draws[: 4 * _TRIES]),) * 4, strict=True):
            wanted = height * width * (self.scale[0] + area * (self.scale[1] - self.scale[0]))
            aspect = math.exp(low + shape * (high - low))
            w, h = round((wanted * aspect) ** 0.5), round((wanted / aspect) ** 0.5)
            if 0 < w <= width and 0 < h <= height:
                return int(down * (height - h + 1)), int(right * (width - w + 1)), h, w
        return _middle(height, width, self.ratio)

    def centre(self, image: Image) -> Tensor:
        """Resize the shorter side to eval_size / eval_ratio and cut out the middle: uint8 [C, eval_size, eval_size]."""
        from torchvision.transforms.v2 import functional

        image = functional.resize(image, [round(self.eval_size / self.eval_ratio)])
        return self._tensor(functional.center_crop(image, [self.eval_size, self.eval_size]))

    def _tensor(self, image: Image) -> Tensor:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)[: self.channels]


def _middle(height: int, width: int, ratio: Sequence[float]) -> tuple[int, int, int, int]:
    """Return the largest box in the middle whose shape is allowed: what is left when ten draws did not fit."""
    w, h = width, height
    if width / height < ratio[0]:
        h = round(width / ratio[0])
    elif width / height > ratio[1]:
        w = round(height * ratio[1])
    return (height - h) // 2, (width - w) // 2, h, w


class _Decoder(torch.utils.data.Dataset[tuple[Tensor, Tensor | Exception]]):
    """Makes a batch in a worker. An error travels back as a value: DataLoader would wrap it in a traceback's text."""

    def __init__(self, paths: Sequence[str], view: View) -> None:
        self.paths, self.view = paths, view

    def __getitem__(self, request: tuple[int | None, Tensor]) -> tuple[Tensor, Tensor | Exception]:
        key, positions = request
        try:
            return positions, self._images(key, positions)
        except (OSError, ValueError) as error:
            return positions, error

    def _images(self, key: int | None, positions: Tensor) -> Tensor:
        images = (read_rgb(self.paths[position]) for position in positions.tolist())
        if key is None or not self.view.random_part:
            return torch.stack([self.view.centre(image) for image in images])
        draws = uniform(key, positions, VIEW_DRAWS).tolist()
        return torch.stack([self.view.random(image, some) for image, some in zip(images, draws, strict=True)])


class StreamSplit:
    """Image files and their targets. `order` may be read ahead by the workers; see also data.memory.MemorySplit."""

    def __init__(
        self,
        paths: Sequence[str],
        targets: Tensor,
        view: View,
        transform: Transform,
        place: Place,
        always_augment: bool = False,
    ) -> None:
        self.targets, self.transform, self.place, self.always_augment = targets, transform, place, always_augment
        self.decoder = _Decoder(paths, view)

    def __len__(self) -> int:
        return len(self.targets)

    def identities(self) -> Sequence[str]:
        return self.decoder.paths

    def batches(self, order: Iterable[Tensor], key: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield a batch on the device for each tensor of positions: see data.dataset.Split."""
        key = 0 if key is None and self.always_augment else key
        device = self.place.device
        loader = DataLoader(
            self.decoder,
            batch_size=None,
            sampler=((key, positions) for positions in order),
            num_workers=self.place.workers,
            pin_memory=torch.device(device).type == "cuda",
            generator=torch.Generator(),  # or it would draw from the global stream
        )
        for positions, images in loader:
            if isinstance(images, Exception):
                raise images
            draws = None if key is None else uniform(key, positions, DRAWS).to(device, non_blocking=True)
            targets = self.targets[positions].to(device, non_blocking=True)
            yield self.transform(images.to(device, non_blocking=True), draws), targets
