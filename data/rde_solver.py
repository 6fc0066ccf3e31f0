"""Who covers whom, read off an index map alone: what a viewer of an RDE-R image can know.

An index map (uint8 [H, W]) says which rectangle each pixel shows, 0 the background. The numbers of the rectangles are
labels and nothing more; the solver gives the same answer however they are permuted. It relies on one property of the
images, the generic view (data/rde_scenes.py): near rectangles have no two edges on one line.

Rule 1. A visible rectangle's bounding box lies within the rectangle, so who is seen inside it covers it.
Rule 2. Where three regions meet in a T, the border that goes straight on is an edge of the region that has it whole: an
edge of either of the others would lie on one line with the third's. That region covers the two others.
"""

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.uint8]
Relation = NDArray[np.bool_]  # [N, M, M]: of the first label to the second; M labels with the background


def levels(above: Relation) -> NDArray[np.uint8]:
    """Return [N, M]: 0 for the background, else 1 + the highest level directly below."""
    found = np.zeros(above.shape[:2], np.uint8)
    for _ in range(above.shape[1] - 1):  # the longest chain has that many
        found[:, 1:] = 1 + (above[:, 1:] * found[:, None]).max(2)
    return found


def contacts(index: Map, most: int) -> Relation:
    """Tell which rectangles have pixels that are 4-neighbours in maps [N, H, W]."""
    found = np.zeros((len(index), most + 1, most + 1), bool)
    _mark(found, index[:, 1:], index[:, :-1])
    _mark(found, index[:, :, 1:], index[:, :, :-1])
    found |= found.swapaxes(1, 2)
    found[:, 0] = found[:, :, 0] = found[:, range(most + 1), range(most + 1)] = False
    return found


def covers(index: Map, most: int) -> Relation:
    """Tell which rectangles are seen to lie on which (the first on the second), by both rules."""
    found = _inside(index, most)
    corners = index[:, :-1, :-1], index[:, :-1, 1:], index[:, 1:, :-1], index[:, 1:, 1:]
    for a, b, c, d in ((0, 1, 2, 3), (2, 3, 0, 1), (0, 2, 1, 3), (1, 3, 0, 2)):
        straight, other, third, fourth = corners[a], corners[c], corners[d], corners[b]
        tee = (straight == fourth) & (other != third) & (straight != other) & (straight != third)
        _mark(found, straight[tee], other[tee], tee)
        _mark(found, straight[tee], third[tee], tee)
    found[:, 0] = found[:, :, 0] = found[:, range(most + 1), range(most + 1)] = False
    return found


def _inside(index: Map, most: int) -> Relation:
    """Rule 1: [n, v, u], v is seen within the bounding box of what is seen of u."""
    seen = index[:, None] == np.arange(most + 1, dtype=np.uint8)[:, None, None]
    rows, columns = _span(seen.any(3)), _span(seen.any(2))
    boxes = rows[..., :, None] & columns[..., None, :]
    flat = (len(index), most + 1, index.shape[1] * index.shape[2])
    shared = np.matmul(seen.reshape(flat).astype(np.float32), boxes.reshape(flat).astype(np.float32).swapaxes(1, 2))
    return np.asarray(shared > 0)


def _span(lines: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill between the first and the last along the last axis."""
    forward = np.logical_or.accumulate(lines, -1)
    return forward & np.logical_or.accumulate(lines[..., ::-1], -1)[..., ::-1]


def _mark(relation: Relation, first: Map, second: Map, where: NDArray[np.bool_] | None = None) -> None:
    """Set relation[n, first, second] for labels at every place of map n, or at the places `where` picks from it."""
    size = relation.shape[1]
    base = np.arange(len(relation)) * size * size
    base = np.broadcast_to(base[:, None, None], first.shape) if where is None else base[where.nonzero()[0]]
    relation.reshape(-1)[base + first * np.int64(size) + second] = True
