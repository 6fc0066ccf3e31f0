"""Device-resident splits: the same sample is the same image in any batch, and held-out parts are as their rule says."""

from pathlib import Path

import pytest
import torch

from data.augment import Augment, Transform
from data.dataset import held_out
from data.memory import MemorySplit, Recipe, in_memory, labelled
from tests.data.places import one_line, place

IMAGES = torch.randint(0, 256, (50, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
TARGETS = torch.arange(50) % 7
AUGMENT = Augment(crop_padding=4, flip="horizontal", rotation=10.0, cutout=6)
NORMALISE = {"mean": [0.5] * 3, "std": [0.25] * 3}


def _split() -> MemorySplit:
    return MemorySplit(IMAGES, TARGETS, Transform(NORMALISE, AUGMENT))


@pytest.mark.parametrize("key", [None, 5])
@pytest.mark.parametrize("size", [1, 7, 50])
def test_batch_size_and_order_have_no_effect(size: int, key: int | None) -> None:
    whole, _ = next(_split().batches([torch.arange(50)], key))
    order = torch.randperm(50, generator=torch.Generator().manual_seed(size))
    for positions, (images, targets) in zip(order.split(size), _split().batches(order.split(size), key), strict=True):
        assert torch.equal(images, whole[positions])
        assert torch.equal(targets, TARGETS[positions])


def test_keys_change_the_augmentation_and_none_leaves_it_out() -> None:
    first, second = (next(_split().batches([torch.arange(50)], key))[0] for key in (1, 2))
    assert not torch.equal(first, second)
    plain = next(_split().batches([torch.arange(50)]))[0]
    torch.testing.assert_close(plain, (IMAGES / 255 - 0.5) / 0.25, rtol=1e-6, atol=1e-6)


def test_batches_is_lazy_and_leaves_the_global_stream_alone() -> None:
    state = torch.get_rng_state()
    assert next(_split().batches((torch.tensor([i]) for i in range(10**9)), 3))[0].shape == (1, 3, 16, 16)
    assert torch.equal(torch.get_rng_state(), state)


def test_held_out_is_adamsrts_rule() -> None:
    torch.manual_seed(0)
    order = torch.randperm(50_000)
    train, validation = held_out(50_000, 0.05, 0)
    assert torch.equal(train, order[:47_500])
    assert torch.equal(validation, order[47_500:])
    assert order[:3].tolist() == [36044, 49165, 37807]  # another torch that shuffled otherwise would change results


@pytest.mark.parametrize("fraction", [0.0, 0.1])
def test_fewer_training_images_are_the_first_of_the_same_order(tmp_path: Path, fraction: float) -> None:
    order = torch.randperm(50, generator=torch.Generator().manual_seed(3))
    train, validation = held_out(50, fraction, 3, train=20)
    assert torch.equal(train, order[:20])
    assert validation is None if fraction == 0 else torch.equal(validation, order[45:])
    loaded = _dataset(tmp_path, validation=fraction, split_seed=3, train=20)
    assert torch.equal(loaded.train.targets, TARGETS[order[:20]])
    assert len(loaded.test) == 50
    with one_line(ValueError, "data.train", 51, "50 images" if fraction == 0 else "45 images"):
        held_out(50, fraction, 3, train=51)


@pytest.mark.parametrize("fraction", [0.001, 0.98, 0.999])
def test_an_empty_part_or_one_training_image_is_an_error(fraction: float) -> None:
    with one_line(ValueError, "data.validation", fraction, "50 images"):
        held_out(50, fraction, 0)


def _dataset(tmp_path, **recipe):  # type: ignore[no-untyped-def]
    arrays = (IMAGES, TARGETS)
    return in_memory(place(tmp_path), Recipe(AUGMENT, NORMALISE, **recipe), arrays, arrays, num_classes=7)


def test_validation_split(tmp_path) -> None:  # type: ignore[no-untyped-def]
    loaded = _dataset(tmp_path, validation=0.2, split_seed=3)
    train, validation = held_out(50, 0.2, 3)
    assert torch.equal(loaded.train.targets, TARGETS[train])
    assert torch.equal(loaded.validation.targets, TARGETS[validation])
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(50))
    images, targets = next(loaded.validation.batches([torch.arange(10)]))
    torch.testing.assert_close(images, (IMAGES[validation] / 255 - 0.5) / 0.25, rtol=1e-6, atol=1e-6)
    assert torch.equal(targets, TARGETS[validation])


def test_augmented_validation(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """AdamSRT's code evaluates on augmented validation images; here with the same draws at every evaluation."""
    loaded = _dataset(tmp_path, validation=0.2, augment_validation=True)
    first, second = (next(loaded.validation.batches([torch.arange(10)]))[0] for _ in range(2))
    plain = next(_dataset(tmp_path, validation=0.2).validation.batches([torch.arange(10)]))[0]
    assert torch.equal(first, second)
    assert not torch.equal(first, plain)


def test_fingerprint_sees_every_byte(tmp_path) -> None:  # type: ignore[no-untyped-def]
    before = _dataset(tmp_path).fingerprint
    assert before == _dataset(tmp_path, validation=0.2).fingerprint
    IMAGES[-1, -1, -1, -1] ^= 1
    after = _dataset(tmp_path).fingerprint
    IMAGES[-1, -1, -1, -1] ^= 1
    assert after != before


def test_targets_may_have_any_shape() -> None:
    maps = torch.rand(50, 2, 4, 4)
    split = MemorySplit(IMAGES, maps, Transform(NORMALISE))
    assert torch.equal(next(split.batches([torch.tensor([3, 1])]))[1], maps[[3, 1]])


def test_labels_are_checked() -> None:
    with one_line(ValueError, "file.bin", "label 7", "0 to 5"):
        labelled(IMAGES, torch.full((50,), 7), 6, "file.bin")
    with one_line(ValueError, "file.bin", "50 images", "3 labels"):
        labelled(IMAGES, TARGETS[:3], 7, "file.bin")
