"""Metrics of a data set, added up batch by batch on the device. Torch alone."""

import torch
from torch import Tensor


class Meter:
    """Sums over samples, on the device that the outputs are on.

    sums: name -> scalar tensor, float64; ranks may add theirs up. scores: rows [B, K] and targets [B, K] that an area
    under the curve needs whole; ranks concatenate theirs, in any order. Both are empty before the first update.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.scores: list[tuple[Tensor, Tensor]] = []

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return each metric's value per sample, [B]."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: outputs [B, num_classes], targets as the data set gives them."""
        values = self.measure(outputs.float(), targets) | {"samples": torch.ones(len(targets), device=outputs.device)}
        for name, value in values.items():
            total = value.double().sum()
            self.sums[name] = self.sums[name] + total if name in self.sums else total

    def areas(self, scores: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the metrics that need every score at once; a NaN among them is left out of the result."""
        return {}

    def result(self) -> dict[str, float]:
        """Return the means over samples, after one synchronisation. Raises ValueError before the first update."""
        if not self.sums:
            raise ValueError("a meter has no result before its first update")
        means = {name: total / self.sums["samples"] for name, total in self.sums.items() if name != "samples"}
        if self.scores:
            means |= self.areas(*(torch.cat(column) for column in zip(*self.scores, strict=True)))
        values = torch.stack(list(means.values())).tolist()
        return {name: value for name, value in zip(means, values, strict=True) if value == value or name == "loss"}
