"""Draws are uniform, and depend on key, position and column alone."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from data.dataset import uniform


def test_known_values() -> None:
    """SplitMix64 from state 0 gives 0xE220A8397B1DCDAF first: the published test value, here without a key."""
    assert uniform(0, torch.tensor([0]), 1).item() == (0xE220A8397B1DCDAF >> 11) * 2.0**-53


@given(st.integers(0, 2**63 - 1), st.permutations(range(40)), st.integers(1, 39))
def test_order_and_batch_size_have_no_effect(key: int, order: list[int], cut: int) -> None:
    whole = uniform(key, torch.arange(40), 5)
    positions = torch.tensor(order)
    parts = torch.cat([uniform(key, positions[:cut], 5), uniform(key, positions[cut:], 5)])
    assert torch.equal(parts, whole[positions])
    assert torch.equal(uniform(key, torch.arange(40), 3), whole[:, :3])


def test_uniform_over_positions_columns_and_keys() -> None:
    """Each of 64 cells' counts and all pairs of neighbours are as independent uniform draws would have them."""
    for draws in (
        uniform(7, torch.arange(50_000), 2),
        uniform(7, torch.arange(2), 50_000).T,
        torch.cat([uniform(key, torch.arange(100), 2) for key in range(500)]),
    ):
        assert draws.min() >= 0
        assert draws.max() < 1
        cells = (draws * 8).long() @ torch.tensor([8, 1])
        counts = cells.bincount(minlength=64).double()
        chi2 = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
        assert chi2 < 120  # 63 degrees of freedom: exceeded by chance once in 50,000


def test_keys_differ() -> None:
    first, second = uniform(1, torch.arange(1000), 1), uniform(2, torch.arange(1000), 1)
    assert not torch.equal(first, second)
    assert not torch.equal(first[1:], second[:-1])  # a key is no shift of the positions
