"""Reading RDE-R: generated once, the recorded bits, images and targets that belong together."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import data
from data.dataset import Place
from data.rde_scenes import SPLITS, Rules, scenes
from tests.data.places import one_line

CONFIGS = {name: yaml.safe_load(Path(f"conf/data/{name}.yaml").read_text()) for name in ("rde", "rde_small")}
RECORDED = yaml.safe_load(Path("tests/data/rde_fingerprints.yaml").read_text())
SMALL = {"train": 70, "validation": 64, "test": 64}


def load(cache, name="rde_small", device="cpu", **options):
    keywords = {key: options.pop(key) for key in ("dtype", "channels_last") if key in options}
    return data.load(CONFIGS[name] | SMALL | options, Place(cache, cache, device, **keywords))


def first(split, count=64):
    return next(split.batches([torch.arange(count)]))


def digests(dataset):
    found = {}
    for split in SPLITS:
        images, targets = first(getattr(dataset, split))
        found[split] = [hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest() for t in (images, targets)]
    return found


@pytest.mark.parametrize("variant", ["contact", "rank"])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_first_64_images_and_targets_are_the_recorded_ones(name, variant, tmp_path):
    assert digests(load(tmp_path, name, variant=variant)) == RECORDED[name][variant]


def test_images_and_targets_are_the_scenes(tmp_path):
    images, targets = first(load(tmp_path).train)
    made = scenes(Rules(24, (2, 3), (7, 14), 12), "train", np.arange(64))
    assert images.dtype == targets.dtype == torch.float32
    for image, (number, depth), index, colours, levels in zip(
        images, targets, made.index, made.colours, made.levels, strict=True
    ):
        np.testing.assert_array_equal(number, index)
        np.testing.assert_array_equal(depth, np.float32(levels / np.float32(4))[index])
        np.testing.assert_array_equal(image, np.moveaxis(colours[index].astype(np.float32) / np.float32(255), -1, 0))


def test_ranks_run_to_one_in_every_image(tmp_path):
    _, targets = first(load(tmp_path, variant="rank").test)
    number, depth = targets.unbind(1)
    torch.testing.assert_close(depth, number / number.amax((1, 2), keepdim=True))


def test_order_and_batches_choose_samples_and_nothing_else(tmp_path):
    train = load(tmp_path).train
    images, targets = first(train, 70)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0))
    for key in (None, 3):
        parts = list(train.batches(order.split(32), key))
        assert torch.equal(torch.cat([part[0] for part in parts]), images[order])
        assert torch.equal(torch.cat([part[1] for part in parts]), targets[order])


def test_dtype_and_layout(tmp_path):
    images, targets = first(load(tmp_path).train)
    half, same = first(load(tmp_path, dtype=torch.bfloat16, channels_last=True).train)
    assert torch.equal(half, images.bfloat16())
    assert half.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(same, targets)


def test_a_split_is_generated_once(tmp_path, monkeypatch):
    one = load(tmp_path)
    monkeypatch.setattr("data.rde.scenes", None)
    two = load(tmp_path)
    assert one.fingerprint == two.fingerprint
    assert digests(one) == digests(two)
    monkeypatch.undo()
    assert load(tmp_path, min_visible=17).fingerprint != one.fingerprint


def test_a_generation_cut_short_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("data.rde.scenes", None)
    with pytest.raises(TypeError):
        load(tmp_path)
    assert not list((tmp_path / "rde").iterdir())


def test_a_damaged_copy_is_an_error(tmp_path):
    load(tmp_path)
    path = next((tmp_path / "rde").glob("test-*/samples.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with one_line(ValueError, path.parent, "delete this folder"):
        load(tmp_path)


def test_more_rectangles_than_levels_are_an_error(tmp_path):
    with one_line(ValueError, "data.rectangles", "[2, 5]", "num_classes=4"):
        load(tmp_path, rectangles=[2, 5])


@pytest.mark.gpu
def test_the_same_bits_on_a_gpu(tmp_path):
    for name in CONFIGS:
        one, two = (first(load(tmp_path, name, device).train) for device in ("cpu", "cuda"))
        assert all(torch.equal(a, b.cpu()) for a, b in zip(one, two, strict=True))
