"""RDE-R's scenes: what every sample must satisfy, and each rule against its words."""

from functools import cache

import numpy as np
import pytest
import torch
from scipy import ndimage

from data import rde_scenes
from data.dataset import uniform
from data.rde_scenes import Rules, scenes
from tests.data import rde_reference as reference
from tests.data import rde_viewer

RULES = {"rde": Rules(128, (3, 10), (20, 72), 64), "rde_small": Rules(24, (2, 3), (7, 14), 12)}
UNITS = {"rde": 10, "rde_small": 4}  # num_classes of the presets
RULES |= {f"{name}-rank": Rules(r.side, r.rectangles, r.sides, r.min_visible, "rank") for name, r in RULES.items()}
MANY = [("rde_small", 10_000), ("rde", 2_000), ("rde_small-rank", 2_000), ("rde-rank", 500)]
MANY.append(pytest.param("rde", 10_000, marks=pytest.mark.soak))


@cache
def made(name, count):
    return scenes(RULES[name], "train", np.arange(count))


def boxes_of(edges):
    return [tuple(int(v) for v in box.reshape(-1)) for box in edges.transpose(1, 0, 2) if box[0, 1]]


@pytest.mark.parametrize(("name", "count"), MANY)
def test_the_solver_finds_every_level_whatever_the_labels(name, count):
    rules, found = RULES[name], made(name, count)
    rank = rules.variant == "rank"
    order = uniform(0, torch.arange(count), rules.most).argsort(1).numpy().astype(np.uint8) + 1
    names = np.pad(order, ((0, 0), (1, 0)))  # the label that each rectangle goes by instead
    index = names[np.arange(count)[:, None, None], found.index]
    levels, decided = rde_viewer.solve(index, rules.most)
    back = np.take_along_axis(levels, names.astype(np.int64), 1) * (found.levels > 0)
    assert decided.all()
    if rank:  # whoever is i-th of a chain lies on i - 1 others
        back, expected = back.max(1), found.levels.max(1)
    else:
        expected = found.levels
    np.testing.assert_array_equal(back, expected)


@pytest.mark.parametrize(("name", "count"), MANY)
def test_colours_tell_rectangles_apart_and_every_one_is_seen_whole(name, count):
    rules, found = RULES[name], made(name, count)
    used = np.concatenate((np.ones((count, 1), bool), found.levels[:, 1:] > 0), 1)
    numbers = used[:, 1:].sum(1)
    assert set(numbers) <= set(range(rules.rectangles[0], rules.most + 1))
    colours = found.colours.astype(int)
    near = np.abs(colours[:, :, None] - colours[:, None]).max(-1) < 0.15 * 255
    pairs = used[:, :, None] & used[:, None] & ~np.eye(rules.most + 1, dtype=bool)
    assert not (near & pairs).any()
    for number in range(1, rules.most + 1):
        seen = found.index == number
        pixels = seen.sum((1, 2))
        assert (pixels[used[:, number]] >= rules.min_visible).all()
        assert (pixels[~used[:, number]] == 0).all()
        separate = ndimage.label(seen, structure=[[[0] * 3] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0] * 3] * 3])[1]
        assert separate == used[:, number].sum()


def read_off(image):
    """Label what an image [H, W] of colour codes shows: the background is the colour that spans it, 0."""
    codes, labels = np.unique(image, return_inverse=True)
    labels = labels.reshape(image.shape).astype(np.uint8)
    spans = [np.ptp(np.argwhere(labels == label), axis=0).max() == len(image) - 1 for label in range(len(codes))]
    assert sum(spans) == 1
    background = spans.index(True)
    return np.where(labels == background, 0, np.where(labels == 0, background, labels)).astype(np.uint8)


@pytest.mark.parametrize(("name", "count"), [("rde_small", 10_000), ("rde", 300)])
def test_depths_can_be_told_from_the_image_alone(name, count):
    rules, found = RULES[name], made(name, count)
    codes = found.colours.astype(np.int64) @ [1 << 16, 1 << 8, 1]
    flat = found.index.reshape(count, -1).astype(np.int64)
    images = np.take_along_axis(codes, flat, 1).reshape(found.index.shape)
    index = np.stack([read_off(image) for image in images])
    levels, decided = rde_viewer.solve(index, rules.most)
    assert decided.all()
    told = np.take_along_axis(levels, index.reshape(count, -1).astype(np.int64), 1)
    np.testing.assert_array_equal(told, np.take_along_axis(found.levels, flat, 1))


@pytest.mark.parametrize(("name", "count"), MANY[:2])
def test_numbers_levels_and_areas_are_distributed_as_recorded(name, count):
    rules, found = RULES[name], made(name, count)
    numbers = (found.levels > 0).sum(1)
    expected = count / (rules.most - rules.rectangles[0] + 1)
    counts = np.bincount(numbers)[rules.rectangles[0] :]
    assert ((counts - expected) ** 2 / expected).sum() < 30  # 7 degrees of freedom: by chance once in 10,000
    shares = np.bincount(found.levels[found.levels > 0])[1:] / numbers.sum()
    recorded = {"rde": [0.369, 0.252, 0.175, 0.112, 0.061], "rde_small": [0.520, 0.373, 0.107]}[name]
    np.testing.assert_allclose(shares[: len(recorded)], recorded, atol=0.012)
    area = (found.index > 0).sum() / numbers.sum() / rules.side**2
    assert area == pytest.approx({"rde": 0.0775, "rde_small": 0.155}[name], rel=0.03)


@pytest.mark.parametrize(("name", "count"), MANY[:2])
def test_a_constant_prediction_is_wrong_by_2_to_8_hundredths(name, count):
    found = made(name, count)
    depth = np.take_along_axis(found.levels, found.index.reshape(count, -1).astype(int), 1) / UNITS[name]
    assert 2e-2 < depth.var() < 8e-2
    assert 2e-2 < ((depth - depth.mean(0)) ** 2).mean() < 8e-2  # the mean image


@pytest.mark.parametrize("name", ["rde_small", "rde"])
def test_scenes_are_what_the_words_say(name):
    rules, count = RULES[name], 60 if name == "rde_small" else 12
    edges, levels = rde_scenes._accepted(rules, "train", np.arange(count))
    for one, level, index in zip(edges, levels, made(name, count).index, strict=True):
        boxes = boxes_of(one)
        np.testing.assert_array_equal(index, reference.paint(boxes, rules.side))
        found = reference.levels(boxes, index.tolist())
        assert level[: len(found)].tolist() == found
        assert all(
            reference.overlap(boxes[u - 1], boxes[v - 1]) for u, v in reference.neighbours(index.tolist()) if u * v
        )


@pytest.mark.parametrize("name", ["rde_small", "rde"])
def test_every_rule_against_its_words(name):
    """On attempts as drawn, most of which break a rule."""
    rules, count = RULES[name], 300 if name == "rde_small" else 60
    edges = rde_scenes._drawn(rules, "test", np.arange(count), np.zeros(count, int))
    line = np.broadcast_to(np.arange(rules.side, dtype=np.int16), (count, rules.side))
    index = rde_scenes.painted(edges, line, line)
    everyone = [boxes_of(one) for one in edges]
    whole = [
        all(reference.pieces(m, n) == 1 for n in range(1, len(b) + 1)) for b, m in zip(everyone, index, strict=True)
    ]
    shown = [reference.shows_corners(b, m.tolist()) for b, m in zip(everyone, index, strict=True)]
    clear = [reference.generic(b) for b in everyone]
    hidden = (index[:, None] == np.arange(1, rules.most + 1)[:, None, None]).sum((2, 3)) == 0
    some = ~(hidden & rde_scenes.in_use(edges)).any(1)  # the flood starts from what is seen
    assert rde_scenes.corners_visible(edges).tolist() == shown
    assert rde_scenes.generic_view(edges).tolist() == clear
    assert (rde_scenes.connected(index, rules.most) & some).tolist() == whole
    for verdicts in (whole, shown, clear):
        assert 0.05 < np.mean(verdicts) < 0.99


@pytest.mark.parametrize(("gap", "clear"), [(-3, False), (0, False), (1, False), (2, True)])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
def test_near_means_up_to_one_pixel_between(gap, clear, turned, swapped):
    """Two boxes whose tops are on one line."""
    edges = np.array([[[5, 15], [5, 20]], [[10, 20], [20 + gap, 40]]], np.int16)  # [axis, box, low and high]
    edges = edges[::-1] if turned else edges
    edges = edges[:, ::-1] if swapped else edges
    assert rde_scenes.generic_view(edges[None]).tolist() == [clear]


@pytest.mark.parametrize("name", ["rde_small", "rde-rank"])
def test_a_sample_depends_on_nothing_but_its_split_and_position(name):
    whole = made(name, 500)
    positions = np.array([499, 3, 77, 3])
    some = scenes(RULES[name], "train", positions)
    one = scenes(RULES[name], "train", positions[2:3])
    for part in ("index", "colours", "levels"):
        np.testing.assert_array_equal(getattr(some, part), getattr(whole, part)[positions])
        np.testing.assert_array_equal(getattr(one, part), getattr(whole, part)[77:78])
    assert not (scenes(RULES[name], "test", positions).index == some.index).all()


def test_ranks_are_places_in_a_chain():
    found = made("rde-rank", 500)
    for index, levels in zip(found.index[:40], found.levels[:40], strict=True):
        number = int(levels.max())
        assert levels.tolist() == [*range(number + 1), *[0] * (10 - number)]
        touching = reference.neighbours(index.tolist())
        assert all((i, i + 1) in touching for i in range(1, number))


def test_rules_that_cannot_be_met_are_an_error(monkeypatch):
    monkeypatch.setattr(rde_scenes, "_ATTEMPTS", 1 << 12)
    with pytest.raises(ValueError, match=r"^data\.rectangles, data\.sides, data\.min_visible: no scene"):
        scenes(Rules(32, (4, 4), (16, 18), 200), "train", np.arange(3))


@pytest.mark.parametrize(
    ("wrong", "option"),
    [({"rectangles": (4, 2)}, "rectangles"), ({"sides": (8, 33)}, "sides"), ({"variant": "depth"}, "variant")],
)
def test_a_wrong_option_is_named(wrong, option):
    with pytest.raises(ValueError, match=rf"^data\.{option}: "):
        Rules(**{"side": 32, "rectangles": (2, 4), "sides": (8, 18), "min_visible": 16} | wrong)
