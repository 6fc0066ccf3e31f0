"""Metrics added up over the samples of a data set, on the device that they are on."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from training.distribution import World
from training.runtime import Diverged

Scores = list[tuple[Tensor, Tensor]]  # of each batch: what a metric needs whole, e.g. (scores [B, K], targets [B, K])
Derive = Callable[[dict[str, Tensor], Scores], dict[str, Tensor]]


class Meter:
    """Adds metrics up over samples.

    sums: name -> scalar tensor, float64. scores: what a metric needs whole. Both are empty before the first update.
    derive: makes a result's metrics of the means over samples and of the scores.
    """

    def __init__(self, derive: Derive = lambda means, scores: means) -> None:
        """Start with nothing counted."""
        self.sums: dict[str, Tensor] = {}
        self.scores: Scores = []
        self._derive = derive

    def update(self, values: Mapping[str, Tensor], scores: tuple[Tensor, Tensor] | None = None) -> None:
        """Add a batch: each metric's value per sample, [B]."""
        samples = torch.ones_like(next(iter(values.values())))
        for name, value in {**values, "samples": samples}.items():
            total = value.double().sum()
            self.sums[name] = self.sums[name] + total if name in self.sums else total
        self.scores += [] if scores is None else [scores]

    def reduce(self, world: World) -> "Meter":
        """Add up over the processes, in place; scores are joined in order of rank. Some may have counted nothing."""
        if world.size > 1:
            device = next((total.device for total in self.sums.values()), torch.device("cpu"))
            parts = [part for part in world.gather_objects([self.state_dict()]) if part["sums"]]
            sums = {name: sum(part["sums"][name] for part in parts) for name in parts[0]["sums"]}
            self.load_state_dict({"sums": sums, "scores": [row for part in parts for row in part["scores"]]}, device)
        return self

    def result(self, prefix: str = "") -> dict[str, float]:
        """Return the metrics; a NaN is left out, unless it is the loss.

        Raises ValueError before the first update, Diverged for scores that are not finite: no library measures them.
        """
        if not self.sums:
            raise ValueError("a meter has no result before its first update")
        finite = [part.isfinite().all() for row in self.scores for part in row]
        if finite and not torch.stack(finite).all():
            raise Diverged
        means = {name: total / self.sums["samples"] for name, total in self.sums.items() if name != "samples"}
        derived = self._derive(means, self.scores)
        values = zip(derived, torch.stack(list(derived.values())).tolist(), strict=True)
        return {f"{prefix}{name}": value for name, value in values if value == value or name == "loss"}

    def state_dict(self) -> dict[str, Any]:
        """Return what this process has counted."""
        return {"sums": self.sums, "scores": self.scores}

    def load_state_dict(self, saved: Mapping[str, Any], device: torch.device) -> None:
        """Go on from what `state_dict` returned."""
        self.sums = {name: value.to(device) for name, value in saved["sums"].items()}
        self.scores = [(scores.to(device), targets.to(device)) for scores, targets in saved["scores"]]
