"""Random numbers by counting: what a draw gives depends on (key, position, column) and on nothing else.

So a sample's augmentation does not change with the batch size, the order, the rank, the device or the number of
workers. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014), in int64 arithmetic that wraps.
"""

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15


def uniform(key: int, positions: Tensor, columns: int) -> Tensor:
    """Draw float64 [B, columns] in [0, 1) for int64 sample `positions` [B] of any device, the same bits on all.

    key: any integer, e.g. an epoch's augmentation key. Column j is the same however many columns are drawn.
    """
    rows = _mix(positions + _mix(torch.tensor(_signed(key))).to(positions.device))
    counters = torch.arange(1, columns + 1, device=positions.device) * _signed(_GOLDEN)
    bits = _shifted(_mix(rows[:, None] + counters), 11)
    return bits * 2.0**-53


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shifted(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shifted(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    """Shift right as if unsigned: torch's shift copies the sign."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def _signed(value: int) -> int:
    """Write an integer's low 64 bits as a signed number, as int64 holds them."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
