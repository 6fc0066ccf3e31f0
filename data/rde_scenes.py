"""RDE-R's scenes: overlapping rectangles whose depths can be told from the image. Ours, a re-creation of RDE.

Sample i of a split is a function of (VERSION, split, i) and the rules alone: draws are counted (data/draws.py), and a
scene is the first of its sample's attempts that is accepted. All but the last step works on condensed maps: the edges
of at most K rectangles cut the image in at most 2K + 1 rows and columns, whose pixels are alike.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from data import rde_solver as solver
from data.draws import uniform

VERSION = 1  # raised when any bit of any sample changes
SPLITS = ("train", "validation", "test")
COLOUR_DISTANCE = 39  # of 255, in max norm: 0.15
_BLOCK = 2048  # attempts made at once
_ATTEMPTS = 1 << 24  # counters of a sample

Edges = NDArray[np.int16]  # [N, 2, K, 2]: y and x; rectangles in drawing order; first pixel and the one after the last
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """side: of the image, pixels. rectangles, sides: least and most. min_visible: pixels of every rectangle.

    variant: contact (depth is the level above what a rectangle lies on) or rank (its place in the drawing order, of
    images where each rectangle touches the next, so that the order can be seen).
    """

    side: int
    rectangles: tuple[int, int]
    sides: tuple[int, int]
    min_visible: int
    variant: str = "contact"

    @property
    def most(self) -> int:
        return self.rectangles[1]


@dataclass(frozen=True)
class Scenes:
    """index: uint8 [N, H, W], 0 the background; colours: uint8 [N, K + 1, 3]; levels: uint8 [N, K + 1]."""

    index: NDArray[np.uint8]
    colours: NDArray[np.uint8]
    levels: NDArray[np.uint8]


def scenes(rules: Rules, split: str, positions: NDArray[np.int64]) -> Scenes:
    """Make the samples at `positions` of a split."""
    edges, levels = _accepted(rules, split, positions)
    axis = np.broadcast_to(np.arange(rules.side, dtype=np.int16), (len(positions), rules.side))
    count = (edges[:, 0, :, 1] > 0).sum(1)
    return Scenes(_painted(edges, axis, axis), _colours(split, positions, count, rules.most), levels)


def _accepted(rules: Rules, split: str, positions: NDArray[np.int64]) -> tuple[Edges, NDArray[np.uint8]]:
    edges = np.zeros((len(positions), 2, rules.most, 2), np.int16)
    levels = np.zeros((len(positions), rules.most + 1), np.uint8)
    open_, tried = np.arange(len(positions)), 0
    while len(open_):
        width = max(1, _BLOCK // len(open_))
        counters = positions[open_, None] * _ATTEMPTS + tried + np.arange(width)
        tries = _drawn(
            rules, uniform(_key(split, 0), torch.from_numpy(counters.reshape(-1)), 1 + 4 * rules.most).numpy()
        )
        good, found = _judged(rules, tries)
        good = good.reshape(len(open_), width)
        hit = good.any(1)
        chosen = (np.arange(len(open_)) * width + good.argmax(1))[hit]
        edges[open_[hit]], levels[open_[hit]] = tries[chosen], found[chosen]
        open_, tried = open_[~hit], tried + width
    return edges, levels


def _key(split: str, purpose: int) -> int:
    return (VERSION * len(SPLITS) + SPLITS.index(split)) << 16 | purpose


def _drawn(rules: Rules, draws: NDArray[np.float64]) -> Edges:
    """Place rectangles by draws [N, 1 + 4K]; those beyond a scene's number are empty, at 0."""
    count = _integers(draws[:, :1], *rules.rectangles)
    sizes, places = draws[:, 1:].reshape(-1, 2, 2, rules.most).swapaxes(0, 1)
    length = _integers(sizes, *rules.sides)
    low = (places * (rules.side - length + 1)).astype(np.int16)
    real = np.arange(rules.most) < count[:, None]
    return np.stack((low, low + length), -1) * real[..., None]


def _integers(draws: NDArray[np.float64], least: int, most: int) -> NDArray[np.int16]:
    return (draws * (most - least + 1)).astype(np.int16) + np.int16(least)


def _judged(rules: Rules, edges: Edges) -> tuple[Flags, NDArray[np.uint8]]:
    """Tell which scenes are accepted, and the levels of those."""
    good, levels = _generic(edges), np.zeros((len(edges), rules.most + 1), np.uint8)
    good[good] = _a_corner_shows(edges[good])  # cheap tests first: one attempt in 200 with ten rectangles passes all
    fine, levels[good] = _looked_at(rules, edges[good])
    good[good] = fine
    return good, levels


def _looked_at(rules: Rules, edges: Edges) -> tuple[Flags, NDArray[np.uint8]]:
    low_high = edges.reshape(len(edges), 2, -1) % rules.side  # an edge on the image's border starts no cell
    starts = np.sort(np.pad(low_high, ((0, 0), (0, 0), (1, 0))), -1)
    sizes = np.diff(starts, append=np.int16(rules.side))
    index = _painted(edges, starts[:, 0], starts[:, 1])
    real = edges[:, 0, :, 1] > 0
    good = (~real | (_pixels(index, sizes, rules.most) >= rules.min_visible)).all(1) & _connected(index, rules.most)
    contact = solver.contacts(index, rules.most)
    painted_later = contact & np.tri(rules.most + 1, k=-1, dtype=bool)
    # Asking for the true order, not just for one, is no more than what `decided` asks: the rules are sound.
    good &= (solver.covers(index, rules.most) & contact == painted_later).all((1, 2))
    if rules.variant == "rank":
        ranks = np.arange(rules.most + 1, dtype=np.uint8) * np.pad(real, ((0, 0), (1, 0)))
        steps = np.arange(1, rules.most)
        return good & (contact[:, steps + 1, steps] | ~real[:, 1:]).all(1), ranks
    return good, solver.levels(painted_later) * np.pad(real, ((0, 0), (1, 0)))


def _generic(edges: Edges) -> Flags:
    """Tell which scenes have no two near rectangles (boxes grown by a pixel meet) with edges on one line."""
    later, earlier = np.tril_indices(edges.shape[2], -1)
    low, high = np.moveaxis(edges[:, :, later], -1, 0)
    low_, high_ = np.moveaxis(edges[:, :, earlier], -1, 0)
    near = (low <= high_ + 1) & (low_ <= high + 1)
    aligned = (low == low_) | (low == high_) | (high == low_) | (high == high_)
    bad = near[:, 0] & near[:, 1] & (aligned[:, 0] | aligned[:, 1]) & (high[:, 0] > 0)
    return ~bad.any(1)


def _a_corner_shows(edges: Edges) -> Flags:
    """Tell which scenes show at least one corner of every rectangle."""
    corners = edges - np.array([0, 1], np.int16)
    within = (edges[:, :, None, None, :, 0] <= corners[..., None]) & (
        corners[..., None] < edges[:, :, None, None, :, 1]
    )
    later = ~np.tri(edges.shape[2], dtype=bool)[:, None, None]
    covered = (within[:, 0][:, :, :, None] & within[:, 1][:, :, None] & later).any(-1)
    return ((~covered).any((2, 3)) | (edges[:, 0, :, 1] == 0)).all(1)


def _painted(edges: Edges, ys: NDArray[np.int16], xs: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Paint the scenes at rows ys [N, H] and columns xs [N, W]: the latest rectangle over a point shows."""
    index = np.zeros((*ys.shape, xs.shape[1]), np.uint8)
    for number, ((top, bottom), (left, right)) in enumerate(edges.transpose(2, 1, 3, 0)[..., None], start=1):
        rows = np.uint8(number) * ((top <= ys) & (ys < bottom))
        columns = np.uint8(255) * ((left <= xs) & (xs < right))
        np.maximum(index, rows[:, :, None] & columns[:, None, :], out=index)
    return index


def _pixels(index: NDArray[np.uint8], sizes: NDArray[np.int16], most: int) -> NDArray[np.int64]:
    """Count the visible pixels of every rectangle, [N, K], in condensed maps whose cells have sizes [N, 2, G]."""
    area = sizes[:, 0, :, None] * sizes[:, 1, None, :].astype(np.float64)
    slots = np.arange(len(index))[:, None, None] * (most + 1) + index
    total = np.bincount(slots.reshape(-1), area.reshape(-1), len(index) * (most + 1))
    return total.reshape(-1, most + 1)[:, 1:].astype(np.int64)


def _connected(index: NDArray[np.uint8], most: int) -> Flags:
    """Tell in which maps everything seen of any rectangle is one 4-connected piece: floods each from one cell."""
    flat = index.reshape(len(index), -1)
    reached = np.zeros_like(flat, bool)
    for number in range(1, most + 1):
        reached[np.arange(len(flat)), (flat == number).argmax(1)] = True
    reached = reached.reshape(index.shape)
    total = -1
    while (now := np.count_nonzero(reached)) > total:
        total = now
        for axis in (1, 2):
            _sweep(np.moveaxis(reached, axis, 0), np.moveaxis(index, axis, 0))
            _sweep(np.moveaxis(reached, axis, 0)[::-1], np.moveaxis(index, axis, 0)[::-1])
    return (reached | (index == 0)).all((1, 2))


def _sweep(reached: Flags, index: NDArray[np.uint8]) -> None:
    """Carry `reached` along the first axis between equal labels."""
    for line in range(1, len(index)):
        reached[line] |= reached[line - 1] & (index[line] == index[line - 1])


def _colours(split: str, positions: NDArray[np.int64], count: NDArray[np.int64], most: int) -> NDArray[np.uint8]:
    """Draw the background's and the rectangles' colours, one after the other, each again while near an earlier one."""
    colours = np.zeros((len(positions), most + 1, 3), np.uint8)
    for number in range(most + 1):
        open_, tried = (count >= number).nonzero()[0], 0
        while len(open_):
            key = _key(split, 1 + number) + (tried << 40)
            drawn = (uniform(key, torch.from_numpy(positions[open_]), 3).numpy() * 256).astype(np.uint8)
            apart = np.abs(colours[open_, :number].astype(np.int16) - drawn[:, None]).max(2) >= COLOUR_DISTANCE
            good = apart.all(1)
            colours[open_[good], number] = drawn[good]
            open_, tried = open_[~good], tried + 1
    return colours
