"""What a viewer of whole RDE-R images can know: the solver on maps of every pixel, whoever painted them."""

import numpy as np
from numpy.typing import NDArray

from data import rde_solver as solver


def solve(index: solver.Map, most: int) -> tuple[NDArray[np.uint8], solver.Relation]:
    """Return the levels [N, most + 1] of up to `most` rectangles in maps [N, H, W], and which maps are decided [N]."""
    small = condensed(index, 2 * most + 1)
    contact, above = solver.contacts(small, most), solver.covers(small, most)
    return solver.levels(contact & above), decided(contact, above)


def decided(contact: solver.Relation, above: solver.Relation) -> NDArray[np.bool_]:
    """Tell for which maps [N] the order of every contact is known, one way only."""
    return (~contact | (above ^ above.swapaxes(1, 2))).all((1, 2))


def condensed(index: solver.Map, cells: int) -> solver.Map:
    """Drop rows and columns equal to the one before: [N, H, W] to [N, cells, cells], the last repeated where needed."""
    rows = (index[:, 1:] != index[:, :-1]).any(2)
    columns = (index[:, :, 1:] != index[:, :, :-1]).any(1)
    y, x = _firsts(rows, cells), _firsts(columns, cells)
    return index[np.arange(len(index))[:, None, None], y[:, :, None], x[:, None, :]]


def _firsts(changes: NDArray[np.bool_], cells: int) -> NDArray[np.int64]:
    """Return where each run of equal lines begins: changes [N, L - 1] to [N, cells]."""
    run = np.pad(changes.cumsum(1, dtype=np.int16), ((0, 0), (1, 0)))
    firsts = (run[:, None] < np.arange(cells)[:, None]).sum(2)
    return np.minimum(firsts, changes.shape[1])
