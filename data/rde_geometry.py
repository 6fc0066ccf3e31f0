"""Rectangles painted over one another: which show, which can be told apart, in batches of scenes."""

import numpy as np
from numpy.typing import NDArray

Edges = NDArray[np.int16]  # [N, 2, K, 2]: y and x; rectangles in drawing order; first pixel and the one after the last
Flags = NDArray[np.bool_]


def used(edges: Edges) -> Flags:
    """Tell which of a scene's K places hold a rectangle, [N, K]; the others are empty, at 0."""
    return edges[:, 0, :, 1] > 0


def generic(edges: Edges) -> Flags:
    """Tell which scenes have no two near rectangles (boxes grown by a pixel meet) with edges on one line."""
    later, earlier = np.tril_indices(edges.shape[2], -1)
    low, high = np.moveaxis(edges[:, :, later], -1, 0)
    low_, high_ = np.moveaxis(edges[:, :, earlier], -1, 0)
    near = (low <= high_ + 1) & (low_ <= high + 1)
    aligned = (low == low_) | (low == high_) | (high == low_) | (high == high_)
    bad = near[:, 0] & near[:, 1] & (aligned[:, 0] | aligned[:, 1]) & (high[:, 0] > 0)
    return ~bad.any(1)


def a_corner_shows(edges: Edges) -> Flags:
    """Tell which scenes show at least one corner of every rectangle."""
    corners = edges - np.array([0, 1], np.int16)
    within = (edges[:, :, None, None, :, 0] <= corners[..., None]) & (
        corners[..., None] < edges[:, :, None, None, :, 1]
    )
    later = ~np.tri(edges.shape[2], dtype=bool)[:, None, None]
    covered = (within[:, 0][:, :, :, None] & within[:, 1][:, :, None] & later).any(-1)
    return ((~covered).any((2, 3)) | ~used(edges)).all(1)


def painted(edges: Edges, ys: NDArray[np.int16], xs: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Paint the scenes at rows ys [N, H] and columns xs [N, W]: the latest rectangle over a point shows."""
    index = np.zeros((*ys.shape, xs.shape[1]), np.uint8)
    for number, ((top, bottom), (left, right)) in enumerate(edges.transpose(2, 1, 3, 0)[..., None], start=1):
        rows = np.uint8(number) * ((top <= ys) & (ys < bottom))
        columns = np.uint8(255) * ((left <= xs) & (xs < right))
        np.maximum(index, rows[:, :, None] & columns[:, None, :], out=index)
    return index


def pixels(index: NDArray[np.uint8], sizes: NDArray[np.int16], most: int) -> NDArray[np.int64]:
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
