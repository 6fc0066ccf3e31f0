"""NATS-Bench's nets: counts of its authors' own library, the graph of a cell, and which fifty cells the table has."""

import random

import pytest
import torch

from models.nats import OPERATIONS, Cell, nats, parsed
from papers import table as tables

FORM = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
COUNTS = {  # parameters for 10 classes, of the authors' library, with which outputs agree to the bit
    FORM.format(*["nor_conv_3x3"] * 6): 1_531_546,
    FORM.format(*["none"] * 6): 73_306,
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_3x3~1|nor_conv_1x1~2|": 615_386,
    "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|": 344_346,
}


@pytest.mark.parametrize("cell", COUNTS)
def test_parameters(cell):
    assert sum(p.numel() for p in nats(10, cell=cell).parameters()) == COUNTS[cell]


def test_a_cell_sums_its_operations_on_every_node_before():
    cell = Cell(
        parsed("|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"), 4
    ).eval()
    x = torch.randn(2, 4, 6, 6)
    into_1, wide, into_3 = (cell.get_submodule(f"operations.{number}") for number in (0, 1, 5))
    first = into_1(x)
    second = wide(x) + first
    pooled = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(cell(x), pooled + into_3(second))


def test_a_cell_whose_output_hangs_on_nothing_answers_the_same_to_all():
    net = nats(10, cell=FORM.format("skip_connect", *["none"] * 5), cells=1, channels=4).eval()
    answers = net(torch.randn(3, 3, 32, 32))
    assert torch.equal(answers[0], answers[1])


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("|nor_conv_3x3~0|", r"'\|nor_conv_3x3~0\|' is not \|operation~0\|\+"),
        (FORM.format(*["none"] * 6)[:-1], "is not"),
        (FORM.format(*["none"] * 6).replace("~2", "~1"), "is not"),
        (FORM.format(*["none"] * 5, "nor_conv_5x5"), "'nor_conv_5x5' is not one of none, .*; nearest: nor_conv_"),
        ("", "'' is not"),
    ],
)
def test_what_is_no_cell_is_one_line(cell, line):
    with pytest.raises(ValueError, match=rf"^model\.cell: .*{line}"):
        parsed(cell)


def test_the_tables_cells_are_drawn_by_a_seed():
    names = list(OPERATIONS)
    numbers = random.Random(0).sample(range(5**6), 50)
    drawn = [FORM.format(*(names[number // 5**place % 5] for place in range(6))) for number in numbers]
    assert [cell.coordinates["model.cell"] for cell in tables.load("rmsgd_nats").cells()] == drawn
    assert len(set(drawn)) == 50
