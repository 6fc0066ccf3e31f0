"""Share of the weights that AdamP's test takes for scale-invariant."""

from __future__ import annotations

from typing import Any

import torch

from optim.groups import radial_cosine
from probes.probe import Probe, Step, Values


class Projection(Probe):
    """Which tensors AdamP and SGDP project (the authors' code: by filter, else whole), whatever the optimizer is.

    `projected` is 1 for a tensor whose step would be projected; `tensors` and `entries` are the shares of the
    tensors, and of their entries, for which it is.
    """

    def __init__(self, delta: float = 0.1, **options: Any) -> None:
        """delta: the test's threshold, relative to 1 / sqrt(d)."""
        super().__init__(**options)
        self.delta = delta

    def observe(self, step: Step) -> Values:
        pairs = list(zip(step.before, step.gradients, strict=True))
        found = torch.stack([self.passes(w, g) for w, g in pairs]).double()
        sizes = torch.tensor([w.numel() for w in step.before], dtype=torch.double, device=found.device)
        return {"projected": found, "tensors": found.mean(), "entries": (found * sizes).sum() / sizes.sum()}

    def passes(self, weight: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        lowest = torch.minimum(*(radial_cosine(weight, gradient, kind) for kind in ("channel", "layer")))
        return lowest < self.delta
