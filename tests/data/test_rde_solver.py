"""The solver on drawings small enough to decide by eye."""

import numpy as np
import pytest

from data import rde_solver
from tests.data import rde_viewer

DRAWINGS = {
    "a box within another's bounding box": ("1111.|1222.|1222.|1111.|.....", {1: 1, 2: 2}),
    "an overlapped corner": ("111..|11222|11222|..222|.....", {1: 1, 2: 2}),
    "a straight border that goes on: 2 covers": (".11..|.11..|22222|22222|.....", {1: 1, 2: 2}),
    "a straight border that goes on: 1 covers": ("11111|11111|..2..|..2..|.....", {1: 2, 2: 1}),
    "the same, upright": (".2...|.2...|.211.|.2...|.2...", {1: 1, 2: 2}),
    "a cross": ("..1..|..1..|22222|..1..|..1..", {1: 1, 2: 2}),
    "three in a row, each on the next": ("111....|11222..|1122333|..22333|....333", {1: 1, 2: 2, 3: 3}),
    "the end of the border is covered by a third": ("..333|.1333|.1333|22222|22222", {1: 1, 2: 3, 3: 2}),
    "two that never meet": ("11.22|11.22|.....|.....|.....", {1: 1, 2: 1}),
}
UNDECIDED = {
    "side by side": ".....|11222|11222|.....|.....",
    "one corner on the other's line": "11...|11222|11222|..222|.....",
    "one above the other": ".11..|.11..|.22..|.22..|.....",
}


def pixels(text):
    return np.array([[int(c) if c != "." else 0 for c in row] for row in text.split("|")], np.uint8)[None]


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("name", DRAWINGS)
def test_decided(name, turns):
    text, expected = DRAWINGS[name]
    index = np.rot90(pixels(text), turns, (1, 2))
    levels, decided = rde_viewer.solve(np.ascontiguousarray(index), 4)
    assert decided.all()
    assert {label: int(levels[0, label]) for label in expected} == expected
    larger = index.repeat(3, 1).repeat(2, 2)  # distances do not matter
    assert (rde_viewer.solve(larger, 4)[0] == levels).all()


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("name", UNDECIDED)
def test_what_nobody_can_tell_is_undecided(name, turns):
    index = np.rot90(pixels(UNDECIDED[name]), turns, (1, 2))
    assert not rde_viewer.solve(np.ascontiguousarray(index), 4)[1].any()


def test_condensed_maps_keep_what_changes():
    index = pixels("1122|1122|3322|3322")
    assert rde_viewer.condensed(index, 3)[0].tolist() == [[1, 2, 2], [3, 2, 2], [3, 2, 2]]


def test_levels_count_from_the_background():
    above = np.zeros((1, 4, 4), bool)
    above[0, 3, 2] = above[0, 2, 1] = above[0, 3, 1] = True
    assert rde_solver.levels(above)[0].tolist() == [0, 1, 2, 3]
