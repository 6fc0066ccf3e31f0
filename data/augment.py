"""Augmentation of a whole batch at once, on its device.

The order is fixed: crop, flip, resized crop, rotation (on the pixels as read), normalisation, cutout. As in
torchvision, what a crop or a rotation brings in from outside is black; what cutout removes becomes 0 after
normalisation, the mean.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

FLIPS = {"none": (), "horizontal": (-1,), "vertical": (-2,), "both": (-1, -2)}
DRAWS = 7  # columns: crop row, crop column, flip left-right, flip top-bottom, rotation, cutout row, cutout column
RATIO, TRIES = 4 / 3, 10  # of a resized crop, as torchvision's: longest side to shortest; boxes drawn until one fits


@dataclass(frozen=True)
class Augment:
    """What is drawn for a training image.

    crop_padding: pixels of black on each side before a random crop back to the image's size.
    flip: a key of FLIPS, each axis with probability one half. rotation: the largest angle in degrees, either way.
    cutout: side in pixels of the square that is removed (DeVries and Taylor 2017), cut off at the border.
    resized_crop: smallest share of the area that a random part has, which is then brought to the image's size, as
    torchvision's RandomResizedCrop does (its own is 0.08); 0 takes the whole image.
    """

    crop_padding: int = 0
    flip: str = "none"
    rotation: float = 0.0
    cutout: int = 0
    resized_crop: float = 0.0

    def __post_init__(self) -> None:
        if self.flip not in FLIPS:
            raise ValueError(f"data.augment.flip: {self.flip!r} is not one of {', '.join(FLIPS)}")

    @property
    def draws(self) -> int:
        """How many columns of draws `Transform` takes; those of a resized crop come last."""
        return DRAWS + 4 * TRIES * bool(self.resized_crop)


PLAIN = Augment()


def crop(images: Tensor, offsets: Tensor, padding: int) -> Tensor:
    """Cut windows of the images' own size out of their black-padded forms.

    images: uint8 [B, C, H, W]; offsets: int64 [B, 2], row and column in [0, 2 * padding].
    """
    padded = functional.pad(images, (padding,) * 4)
    first = torch.arange(len(images), device=images.device) * padded.stride(0)
    return _windows(padded, first + offsets[:, 0] * padded.stride(2) + offsets[:, 1], *images.shape[-2:])


def _windows(canvas: Tensor, starts: Tensor, height: int, width: int) -> Tensor:
    """Copy windows [len(starts), C, height, width] out of a contiguous canvas [B, C, H, W].

    starts: int64, index of each window's first pixel in the flat canvas. One index_select over all windows, which
    overlap in memory: 5 times as fast on a CPU as indexing or gathering pixels, or a loop over samples.
    """
    channels, (_, plane, row, _) = canvas.shape[1], canvas.stride()
    count = canvas.numel() - (channels - 1) * plane - (height - 1) * row - width + 1
    return canvas.as_strided((count, channels, height, width), (1, plane, row, 1)).index_select(0, starts)


def flip(images: Tensor, chosen: Tensor, axis: int) -> Tensor:
    """Mirror the chosen (bool [B]) images along an axis. Whole images are selected: torch.where is 5 times slower."""
    batch = len(images)
    both = torch.cat((images, images.flip(axis)))
    return both.index_select(0, torch.arange(batch, device=images.device) + batch * chosen)


def boxes(draws: Tensor, height: int, width: int, smallest: float) -> Tensor:
    """Draw parts of square images, [B, 4]: top, left, height, width; the first that fits. draws: [B, 4 * TRIES]."""
    area, shape, down, right = draws.view(len(draws), TRIES, 4).unbind(-1)
    wanted = height * width * (smallest + area * (1 - smallest))
    aspect = torch.exp((2 * shape - 1) * math.log(RATIO))
    w, h = (wanted * aspect).sqrt().round(), (wanted / aspect).sqrt().round()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    found = torch.stack(((down * (height - h + 1)).floor(), (right * (width - w + 1)).floor(), h, w), -1)
    first = found.gather(1, fits.int().argmax(1)[:, None, None].expand(-1, 1, 4))[:, 0]
    return torch.where(fits.any(1)[:, None], first, first.new_tensor([0, 0, height, width]))


def resized_crop(images: Tensor, parts: Tensor) -> Tensor:
    """Bring parts [B, 4] (see `boxes`) of float images [B, C, H, W] to the images' size; bilinear, within the part."""
    places = []
    for axis, size in enumerate(images.shape[-2:]):
        start, extent = parts[:, axis, None], parts[:, axis + 2, None]
        centres = (torch.arange(size, device=images.device) + 0.5) * extent / size - 0.5
        places.append((2 * (start + centres.clamp(min=0).minimum(extent - 1)) + 1) / size - 1)
    y, x = torch.broadcast_tensors(places[0][:, :, None], places[1][:, None, :])
    return functional.grid_sample(images, torch.stack((x, y), -1).to(images.dtype), align_corners=False)


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotate float images [B, C, H, W] counter-clockwise about their centres; nearest pixel, black outside."""
    height, width = images.shape[-2:]
    angle = torch.deg2rad(degrees).to(images.dtype)[:, None, None]
    y = torch.arange(height, device=images.device, dtype=images.dtype)[:, None] - (height - 1) / 2
    x = torch.arange(width, device=images.device, dtype=images.dtype)[None, :] - (width - 1) / 2
    source_x = (angle.cos() * x - angle.sin() * y) / (width / 2)
    source_y = (angle.sin() * x + angle.cos() * y) / (height / 2)
    grid = torch.stack((source_x, source_y), dim=-1)
    return functional.grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def normalise_(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Bring float images of 0..255 to x scale - shift, in place; both per channel, [C, 1, 1]: see Transform."""
    return images.mul_(scale).sub_(shift)


def cutout_(images: Tensor, rows: Tensor, columns: Tensor, length: int) -> Tensor:
    """Set squares of side 2 * (length // 2), centred at rows, columns (int64 [B]), to 0, in place.

    The masks are windows of one canvas of twice the images' size that has the square in its middle.
    """
    height, width, half = *images.shape[-2:], length // 2
    canvas = images.new_ones(1, 1, 2 * height, 2 * width)
    canvas[..., max(height - half, 0) : height + half, max(width - half, 0) : width + half] = 0
    return images.mul_(_windows(canvas, (height - rows) * 2 * width + width - columns, height, width))


class Transform:
    """From a batch as stored (uint8) to a batch as the net sees it (normalised, in the run's dtype and layout)."""

    def __init__(
        self,
        normalise: Mapping[str, Sequence[float]],
        augment: Augment = PLAIN,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
    ) -> None:
        self.augment = augment
        mean, std = (torch.tensor(normalise[k], dtype=torch.float32).view(-1, 1, 1).to(device) for k in ("mean", "std"))
        self.scale, self.shift = 1 / (255 * std), mean / std  # of (x / 255 - mean) / std
        self.dtype = dtype
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def __call__(self, images: Tensor, draws: Tensor | None = None) -> Tensor:
        """Transform uint8 [B, C, H, W]; draws [B, augment.draws] augment it, None only normalises it.

        Arithmetic is float32 in the plain layout, rounded and laid out once, at the end: the other orders are slower
        on a CPU, and bfloat16 throughout is less exact.
        """
        if draws is None:
            values = normalise_(images.to(torch.float32), self.scale, self.shift)
        else:
            values = self._augmented(images, draws)
        return values.to(self.dtype).contiguous(memory_format=self.layout)

    def _augmented(self, images: Tensor, draws: Tensor) -> Tensor:
        wanted, (height, width) = self.augment, images.shape[-2:]
        if wanted.crop_padding:
            choices = 2 * wanted.crop_padding + 1
            images = crop(images, (draws[:, :2] * choices).long(), wanted.crop_padding)
        for axis in FLIPS[wanted.flip]:
            images = flip(images, draws[:, 2 if axis == -1 else 3] < 0.5, axis)
        values = images.to(torch.float32)
        if wanted.resized_crop:
            values = resized_crop(values, boxes(draws[:, DRAWS:], height, width, wanted.resized_crop))
        if wanted.rotation:
            values = rotate(values, (2 * draws[:, 4] - 1) * wanted.rotation)
        values = normalise_(values, self.scale, self.shift)
        if wanted.cutout:  # its centre is uniform over the pixels
            cutout_(values, (draws[:, 5] * height).long(), (draws[:, 6] * width).long(), wanted.cutout)
        return values
