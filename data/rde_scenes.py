"""RDE-R's scenes: overlapping rectangles whose depths can be told from the image. Ours, a re-creation of RDE.

Sample i of a split is a function of (VERSION, split, i) and the rules alone: draws are counted (data/dataset.py), and a
scene is the first of its sample's attempts that is accepted. All but the last step works on condensed maps: the edges
of at most K rectangles cut the image in at most 2K + 1 rows and columns, whose pixels are alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from data import rde_solver as solver
from data.dataset import uniform

VERSION = 1  # raised when any bit of any sample changes
SPLITS = ("train", "validation", "test")
COLOUR_DISTANCE = 39  # of 255, in max norm: 0.15
_BLOCK = 2048  # attempts made at once
_ATTEMPTS = 1 << 20  # of a sample at most; a scene of ten rectangles takes about 200
_COUNT, _PLACES, _COLOURS = range(3)  # what draws are for

Edges = NDArray[np.int16]  # [N, 2, K, 2]: y and x; rectangles in drawing order; first pixel and the one after the last
Flags = NDArray[np.bool_]
Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Rules:
    """side: of the image, pixels. rectangles, sides: least and most. min_visible: pixels of every rectangle.

    variant: a key of VARIANTS. Raises ValueError naming the option that cannot be.
    """

    side: int
    rectangles: tuple[int, int]
    sides: tuple[int, int]
    min_visible: int
    variant: str = "contact"

    def __post_init__(self) -> None:
        if not 1 <= self.rectangles[0] <= self.rectangles[1]:
            raise ValueError(f"data.rectangles: {list(self.rectangles)} is not least and most, from 1")
        if not 1 <= self.sides[0] <= self.sides[1] <= self.side:
            raise ValueError(f"data.sides: {list(self.sides)} is not least and most, from 1 to {self.side}, the image")
        if self.variant not in VARIANTS:
            raise ValueError(f"data.variant: {self.variant!r} is not one of {', '.join(VARIANTS)}")

    @property
    def most(self) -> int:
        return self.rectangles[1]


@dataclass(frozen=True)
class Scenes:
    """index: uint8 [N, H, W], 0 the background; colours: uint8 [N, K + 1, 3]; levels: uint8 [N, K + 1], 0 if unused."""

    index: NDArray[np.uint8]
    colours: NDArray[np.uint8]
    levels: Levels


def scenes(rules: Rules, split: str, positions: NDArray[np.int64]) -> Scenes:
    """Make the samples at `positions` of a split. Raises ValueError if the rules leave no scene to find."""
    edges, levels = _accepted(rules, split, positions)
    axis = np.broadcast_to(np.arange(rules.side, dtype=np.int16), (len(positions), rules.side))
    colours = _colours(split, positions, in_use(edges).sum(1), rules.most)
    return Scenes(painted(edges, axis, axis), colours, levels)


def _accepted(rules: Rules, split: str, positions: NDArray[np.int64]) -> tuple[Edges, Levels]:
    edges = np.zeros((len(positions), 2, rules.most, 2), np.int16)
    levels = np.zeros((len(positions), rules.most + 1), np.uint8)
    left, tried = np.arange(len(positions)), 0
    while len(left):
        width = min(max(1, _BLOCK // len(left)), _ATTEMPTS - tried)
        if not width:
            raise ValueError("data.rectangles, data.sides, data.min_visible: no scene found in a million attempts")
        attempts = tried + np.arange(width)
        tries = _drawn(rules, split, np.repeat(positions[left], width), np.tile(attempts, len(left)))
        good, found = _judged(rules, tries)
        good = good.reshape(len(left), width)
        hit = good.any(1)
        chosen = (np.arange(len(left)) * width + good.argmax(1))[hit]
        edges[left[hit]], levels[left[hit]] = tries[chosen], found[chosen]
        left, tried = left[~hit], tried + width
    return edges, levels


def _draws(split: str, purpose: int, number: int, counters: NDArray[np.int64], columns: int) -> NDArray[np.float64]:
    key = ((VERSION << 8 | SPLITS.index(split)) << 8 | purpose) << 32 | number
    return uniform(key, torch.from_numpy(counters), columns).numpy()


def _drawn(rules: Rules, split: str, positions: NDArray[np.int64], attempts: NDArray[np.int64]) -> Edges:
    """Place rectangles, [N, 2, K, 2]; those beyond a scene's number are empty, at 0.

    A sample keeps its number of rectangles through all attempts, so that the numbers stay uniform.
    """
    counters = positions * _ATTEMPTS + attempts
    counted = positions * _ATTEMPTS if VARIANTS[rules.variant].keeps_count else counters
    count = _integers(_draws(split, _COUNT, 0, counted, 1), *rules.rectangles)
    sizes, places = _draws(split, _PLACES, 0, counters, 4 * rules.most).reshape(-1, 2, 2, rules.most).swapaxes(0, 1)
    length = _integers(sizes, *rules.sides)
    low = (places * (rules.side - length + 1)).astype(np.int16)
    used = np.arange(rules.most) < count[:, None]
    return np.stack((low, low + length), -1) * used.reshape(-1, 1, rules.most, 1)


def _integers(draws: NDArray[np.float64], least: int, most: int) -> NDArray[np.int16]:
    return (draws * (most - least + 1)).astype(np.int16) + np.int16(least)


def _judged(rules: Rules, edges: Edges) -> tuple[Flags, Levels]:
    """Tell which scenes are accepted, [N], and their levels. The cheap tests come first: with ten rectangles one
    attempt in 200 passes all.
    """
    good, levels = generic_view(edges), np.zeros((len(edges), rules.most + 1), np.uint8)
    good[good] = corners_visible(edges[good])
    fine, levels[good] = _looked_at(rules, edges[good])
    good[good] = fine
    return good, levels


def _looked_at(rules: Rules, edges: Edges) -> tuple[Flags, Levels]:
    starts = edges.reshape(len(edges), 2, 2 * rules.most) % rules.side  # an edge on the image's border starts no cell
    starts = np.sort(np.pad(starts, ((0, 0), (0, 0), (1, 0))), -1)
    index = painted(edges, starts[:, 0], starts[:, 1])
    pixels = visible_pixels(index, np.diff(starts, append=np.int16(rules.side)), rules.most)
    contact = solver.contacts(index, rules.most)
    later = contact & np.tri(rules.most + 1, k=-1, dtype=bool)
    # The solver is sound, so that it finds the true order asks for no more than that it finds one.
    good = np.asarray((solver.covers(index, rules.most) & contact == later).all((1, 2)))
    used = in_use(edges)
    good &= (~used | (pixels >= rules.min_visible)).all(1)
    good[good] = connected(index[good], rules.most)
    fits, levels = VARIANTS[rules.variant].depth(later, used)
    return np.asarray(good & fits), levels * np.pad(used, ((0, 0), (1, 0)))


def _by_contact(later: solver.Relation, used: Flags) -> tuple[Flags, Levels]:
    return np.ones(len(later), bool), solver.levels(later)


def _by_rank(later: solver.Relation, used: Flags) -> tuple[Flags, Levels]:
    numbers = np.arange(later.shape[1], dtype=np.uint8)
    chained = later[:, numbers[2:], numbers[1:-1]] | ~used[:, 1:]
    return np.asarray(chained.all(1)), np.broadcast_to(numbers, (len(later), len(numbers)))


@dataclass(frozen=True)
class Variant:
    """depth: from what lies directly on what and which rectangles there are to (accepted [N], levels [N, K + 1]).

    keeps_count: a redrawn sample keeps its number of rectangles. in_image: an image's own highest level is depth 1.
    """

    depth: Callable[[solver.Relation, Flags], tuple[Flags, Levels]]
    keeps_count: bool
    in_image: bool


VARIANTS = {
    "contact": Variant(_by_contact, keeps_count=True, in_image=False),  # 1 + the highest level directly below
    # The place in the drawing order, of images where each rectangle touches the next, so that the order shows. Of
    # scenes with eight rectangles 1 in 13,000 is such a one: their number is redrawn with them.
    "rank": Variant(_by_rank, keeps_count=False, in_image=True),
}


def _colours(split: str, positions: NDArray[np.int64], count: NDArray[np.int64], most: int) -> NDArray[np.uint8]:
    """Draw the background's and the rectangles' colours, one after the other, each again while near an earlier one."""
    colours = np.zeros((len(positions), most + 1, 3), np.uint8)
    for number in range(most + 1):
        left, tried = (count >= number).nonzero()[0], 0
        while len(left):
            drawn = _draws(split, _COLOURS + number, tried, positions[left], 3) * 256
            drawn = drawn.astype(np.uint8)
            apart = np.abs(colours[left, :number].astype(np.int16) - drawn[:, None]).max(2, initial=0)
            good = (apart >= COLOUR_DISTANCE).all(1)
            colours[left[good], number] = drawn[good]
            left, tried = left[~good], tried + 1
    return colours


def in_use(edges: Edges) -> Flags:
    """Tell which of a scene's K places hold a rectangle, [N, K]; the others are empty, at 0."""
    return np.asarray(edges[:, 0, :, 1] > 0)


def generic_view(edges: Edges) -> Flags:
    """Tell which scenes have no two near rectangles (boxes grown by a pixel meet) with edges on one line."""
    later, earlier = np.tril_indices(edges.shape[2], -1)
    low, high = np.moveaxis(edges[:, :, later], -1, 0)
    low_, high_ = np.moveaxis(edges[:, :, earlier], -1, 0)
    near = (low <= high_ + 1) & (low_ <= high + 1)
    aligned = (low == low_) | (low == high_) | (high == low_) | (high == high_)
    bad = near[:, 0] & near[:, 1] & (aligned[:, 0] | aligned[:, 1]) & (high[:, 0] > 0)
    return np.asarray(~bad.any(1))


def corners_visible(edges: Edges) -> Flags:
    """Tell which scenes show at least one corner of every rectangle."""
    corners = edges - np.array([0, 1], np.int16)
    within = (edges[:, :, None, None, :, 0] <= corners[..., None]) & (
        corners[..., None] < edges[:, :, None, None, :, 1]
    )
    later = ~np.tri(edges.shape[2], dtype=bool)[:, None, None]
    covered = (within[:, 0][:, :, :, None] & within[:, 1][:, :, None] & later).any(-1)
    return np.asarray(((~covered).any((2, 3)) | ~in_use(edges)).all(1))


def painted(edges: Edges, ys: NDArray[np.int16], xs: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Paint the scenes at rows ys [N, H] and columns xs [N, W]: the latest rectangle over a point shows."""
    index = np.zeros((*ys.shape, xs.shape[1]), np.uint8)
    for number, ((top, bottom), (left, right)) in enumerate(edges.transpose(2, 1, 3, 0)[..., None], start=1):
        rows = np.uint8(number) * ((top <= ys) & (ys < bottom))
        columns = np.uint8(255) * ((left <= xs) & (xs < right))
        np.maximum(index, rows[:, :, None] & columns[:, None, :], out=index)
    return index


def visible_pixels(index: NDArray[np.uint8], sizes: NDArray[np.int16], most: int) -> NDArray[np.int64]:
    """Count the visible pixels of every rectangle, [N, K], in condensed maps whose cells have sizes [N, 2, G]."""
    area = sizes[:, 0, :, None] * sizes[:, 1, None, :].astype(np.float64)
    slots = np.arange(len(index))[:, None, None] * (most + 1) + index
    total = np.bincount(slots.reshape(-1), area.reshape(-1), len(index) * (most + 1))
    return total.reshape(-1, most + 1)[:, 1:].astype(np.int64)


def connected(index: NDArray[np.uint8], most: int) -> Flags:
    """Tell in which maps everything seen of any rectangle is one 4-connected piece: floods each from one cell."""
    flat = index.reshape(len(index), index.shape[1] * index.shape[2])
    reached = np.zeros_like(flat, bool)
    for number in range(1, most + 1):
        reached[np.arange(len(flat)), (flat == number).argmax(1)] = True
    reached = reached.reshape(index.shape)
    total = -1
    while (now := int(np.count_nonzero(reached))) > total:
        total = now
        for axis in (1, 2):
            _sweep(np.moveaxis(reached, axis, 0), np.moveaxis(index, axis, 0))
            _sweep(np.moveaxis(reached, axis, 0)[::-1], np.moveaxis(index, axis, 0)[::-1])
    return np.asarray((reached | (index == 0)).all((1, 2)))


def _sweep(reached: Flags, index: NDArray[np.uint8]) -> None:
    """Carry `reached` along the first axis between equal labels."""
    for line in range(1, len(index)):
        reached[line] |= reached[line - 1] & (index[line] == index[line - 1])
