"""Batched augmentation against torchvision's, image by image: the same pixels for the same draw, the same rates."""

import pytest
import torch
from torch import Tensor

from data.augment import DRAWS, TRIES, Augment, Transform, boxes, crop, cutout_, flip, normalise_, resized_crop, rotate
from data.dataset import uniform

IMAGES = torch.randint(0, 256, (24, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
PLAIN = {"mean": [0.0] * 3, "std": [1.0] * 3}


def test_crop_is_torchvisions() -> None:
    from torchvision.transforms.v2 import functional

    offsets = torch.tensor([[i % 9, (i * 5) % 9] for i in range(24)])
    cropped = crop(IMAGES, offsets, 4)
    for image, (top, left), ours in zip(IMAGES, offsets.tolist(), cropped, strict=True):
        assert torch.equal(ours, functional.crop(functional.pad(image, [4]), top, left, 32, 32))


@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (3, 3, 12, 7), (1, 2, 1, 9)])
def test_crop_of_other_shapes(shape: tuple[int, ...]) -> None:
    images = torch.arange(torch.Size(shape).numel()).reshape(shape).to(torch.uint8) + 1
    corners = crop(images, torch.tensor([[4, 0]] * shape[0]), 2)
    expected = torch.zeros_like(images)
    if shape[2] > 2:
        expected[:, :, : shape[2] - 2, 2:] = images[:, :, 2:, : shape[3] - 2]
    assert torch.equal(corners, expected)


@pytest.mark.parametrize("smallest", [0.08, 0.9])
def test_parts_and_their_resizing_are_torchvisions(smallest: float) -> None:
    from torchvision.transforms.v2 import functional

    from data.streaming import View

    draws = uniform(3, torch.arange(200), 4 * TRIES)
    parts = boxes(draws, 32, 32, smallest)
    view = View(scale=(smallest, 1.0))
    assert parts.tolist() == [list(view.box(32, 32, [*row, 0.0])) for row in draws.tolist()]
    images = IMAGES.float()
    for image, part, ours in zip(images, parts[:24].int().tolist(), resized_crop(images, parts[:24]), strict=True):
        theirs = functional.resized_crop(image, *part, [32, 32], antialias=True)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)


def test_a_resized_crop_changes_no_other_draw() -> None:
    cut = Augment(crop_padding=4, flip="horizontal", resized_crop=1.0)  # the whole area: boxes of 32 x 32, or nearly
    assert (cut.draws, Augment().draws) == (DRAWS + 4 * TRIES, DRAWS)
    assert torch.equal(uniform(5, torch.arange(9), cut.draws)[:, :DRAWS], uniform(5, torch.arange(9), DRAWS))


@pytest.mark.parametrize("axis", [-1, -2])
def test_flip(axis: int) -> None:
    chosen = torch.arange(24) % 3 == 0
    flipped = flip(IMAGES, chosen, axis)
    assert torch.equal(flipped[chosen], IMAGES[chosen].flip(axis))
    assert torch.equal(flipped[~chosen], IMAGES[~chosen])


def test_rotation_is_torchvisions() -> None:
    from torchvision.transforms.v2 import functional

    images, degrees = IMAGES.float(), torch.linspace(-180, 180, 24)
    for image, angle, ours in zip(images, degrees.tolist(), rotate(images, degrees), strict=True):
        theirs = functional.rotate(image, angle)
        # A source point half-way between two pixels may be rounded either way.
        assert (ours != theirs).any(dim=0).float().mean() <= (0.5 if angle % 90 == 0 else 0.005)


def test_rotation_by_right_angles() -> None:
    turned = rotate(IMAGES[:3].float(), torch.tensor([0.0, 90.0, 180.0]))
    for quarter in range(3):
        assert (turned[quarter] == IMAGES[quarter].float().rot90(quarter, (-2, -1))).float().mean() > 0.99


def test_normalise_is_torchvisions() -> None:
    from torchvision.transforms.v2 import functional

    mean, std = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
    ours = Transform({"mean": mean, "std": std})(IMAGES)
    torch.testing.assert_close(ours, functional.normalize(IMAGES / 255, mean, std), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("length", [1, 8, 16, 17, 80])
def test_cutout_is_devries_and_taylors(length: int) -> None:
    rows, columns = torch.arange(24) % 32, torch.arange(24) * 7 % 32
    cut = cutout_(torch.ones(24, 2, 32, 32), rows, columns, length)
    for ours, y, x in zip(cut, rows.tolist(), columns.tolist(), strict=True):
        expected = torch.ones(2, 32, 32)
        expected[:, max(y - length // 2, 0) : y + length // 2, max(x - length // 2, 0) : x + length // 2] = 0
        assert torch.equal(ours, expected)


def _numbered() -> Tensor:
    """An image whose every pixel says where it was: column in one channel, row in another."""
    axis = torch.arange(32, dtype=torch.uint8) + 1
    return torch.stack([axis.expand(32, 32), axis[:, None].expand(32, 32), torch.full((32, 32), 255)])[None]


def _placements(images: Tensor) -> Tensor:
    """Tell from transformed numbered images their crop offsets and flips, each combination as one of 162 cells."""
    row, edges = images[:, 1, 12, 12].round().long() - 9, images[:, 0, 12, [12, 19]].round().long() - 9
    return row * 18 + edges.min(dim=1).values * 2 + (edges[:, 0] > edges[:, 1])


def test_crop_and_flip_rates_are_torchvisions() -> None:
    """81 offsets x 2 flips: our counts and torchvision's both look like draws from the same uniform distribution."""
    from torchvision.transforms import v2

    count, image = 8100, _numbered()
    transform = Transform(PLAIN, Augment(crop_padding=4, flip="horizontal"))
    ours = transform(image.expand(count, 3, 32, 32), uniform(3, torch.arange(count), DRAWS)) * 255
    torch.manual_seed(0)
    peer = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()])
    for batch in (ours, torch.stack([peer(image[0]) for _ in range(count)])):
        counts = _placements(batch).bincount(minlength=162).double()
        assert len(counts) == 162
        assert ((counts - 50) ** 2 / 50).sum() < 250  # 161 degrees of freedom: by chance once in 100,000


def test_rotation_and_cutout_draws_cover_their_range() -> None:
    draws = uniform(5, torch.arange(6000), DRAWS)
    cut = Transform(PLAIN, Augment(cutout=2))(torch.full((1, 1, 32, 32), 255).byte().expand(6000, 3, 32, 32), draws)
    share = (cut[:, 0] == 0).double().mean(dim=0)
    expected = torch.full((32, 32), 4 / 1024)
    expected[-1] /= 2  # the square reaches from one pixel before its centre to the centre
    expected[:, -1] /= 2
    assert ((share - expected).abs() < 6 * (expected / 6000).sqrt()).all()
    angles = (2 * draws[:, 4] - 1) * 15
    assert angles.min() < -14.9
    assert angles.max() > 14.9
    assert abs(angles.mean()) < 0.5


def test_order_is_crop_flip_rotate_normalise_cutout() -> None:
    draws = uniform(9, torch.arange(24), DRAWS)
    options = {"crop_padding": 4, "flip": "both", "rotation": 15.0, "cutout": 8}
    whole = Transform({"mean": [0.5] * 3, "std": [0.25] * 3}, Augment(**options))(IMAGES, draws)
    step = crop(IMAGES, (draws[:, :2] * 9).long(), 4)
    step = flip(flip(step, draws[:, 2] < 0.5, -1), draws[:, 3] < 0.5, -2).float()
    step = rotate(step, (2 * draws[:, 4] - 1) * 15)
    step = normalise_(step, torch.tensor(1 / (255 * 0.25)), torch.tensor(2.0))
    assert torch.equal(whole, cutout_(step, (draws[:, 5] * 32).long(), (draws[:, 6] * 32).long(), 8))


@pytest.mark.parametrize("channels_last", [False, True])
def test_dtype_and_layout(channels_last: bool) -> None:
    options = {"crop_padding": 4, "flip": "horizontal", "cutout": 16}
    draws = uniform(1, torch.arange(24), DRAWS)
    normalise = {"mean": [0.5] * 3, "std": [0.25] * 3}
    plain = Transform(normalise, Augment(**options))(IMAGES, draws)
    half = Transform(normalise, Augment(**options), dtype=torch.bfloat16, channels_last=channels_last)(IMAGES, draws)
    assert torch.equal(half, plain.to(torch.bfloat16))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert half.is_contiguous(memory_format=layout)


def test_stored_images_are_not_changed() -> None:
    before = IMAGES.clone()
    Transform(PLAIN, Augment(flip="both", cutout=8))(IMAGES, uniform(1, torch.arange(24), DRAWS))
    Transform(PLAIN)(IMAGES)
    assert torch.equal(IMAGES, before)


def test_an_unknown_flip_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^data\.augment\.flip: 'sideways' is not one of none, horizontal"):
        Transform(PLAIN, Augment(flip="sideways"))
