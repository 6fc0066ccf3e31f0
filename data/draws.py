"""Random numbers by counting: what a draw gives depends on (key, position, column) and on nothing else.

So a sample's augmentation does not change with the batch size, the order, the rank, the device or the number of
workers. The hash is the finaliser of SplitMix64 (Steele, Lea and Flood 2014). It runs on the CPU whatever the device:
a batch's draws are few, and NumPy makes them 4 times as fast as torch's kernels would.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GOLDEN, _WORD = 0x9E3779B97F4A7C15, (1 << 64) - 1


def uniform(key: int, positions: Tensor, columns: int) -> Tensor:
    """Draw float64 [B, columns] in [0, 1) for sample positions (int64 [B], on the CPU).

    key: any integer, e.g. an epoch's augmentation key. Column j is the same however many columns are drawn.
    """
    start = _mixed(np.array([key & _WORD], np.uint64))
    rows = _mixed(positions.numpy().astype(np.uint64) + start)
    counters = np.arange(1, columns + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    bits = _mixed(rows[:, None] + counters)
    return torch.from_numpy((bits >> np.uint64(11)) * 2.0**-53)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))
