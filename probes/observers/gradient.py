"""Norm and noise of the gradient."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from probes.probe import Probe, Step, Values


class Gradient(Probe):
    """Norm of each tensor's gradient, and over `window` steps its signal and noise.

    At steps k * every the norms are written. The gradients of the `window` steps from there on, between which
    the weights hardly move, are taken as samples: `noise` is the trace of their covariance (unbiased), `signal` the
    squared norm of their mean without the noise's share (may come out negative), both over all tensors, written
    at the window's last step together with `noise_scale` = noise / signal, in batches (McCandlish et al. 2018).
    """

    needs: ClassVar = frozenset({"gradients"})
    matrices_only: ClassVar = False

    def __init__(self, window: int = 8, **options: Any) -> None:
        """window: gradients in a sample, at least 2 and at most `every`; 0: norms alone."""
        super().__init__(**options)
        if window and not 2 <= window <= self.every:
            raise ValueError(f"probe.gradient.window: {window} is out of range; allowed: 0, or 2 to every={self.every}")
        self.window = window
        self.count, self.squares, self.sums = 0, torch.zeros(()), list[Tensor]()

    def due(self, step: int) -> bool:
        return step % self.every < max(self.window, 1)

    def observe(self, step: Step) -> Values:
        position = step.step % self.every
        if self.window:
            self.add(step.gradients, first=position == 0)
        if position == 0:
            norms = torch.stack(torch._foreach_norm(step.gradients))
            return {"norm": norms, "total_norm": norms.norm()}
        return self.noise() if position == self.window - 1 and self.count == self.window else {}

    def add(self, gradients: list[Tensor], first: bool) -> None:
        square = torch.stack(torch._foreach_norm(gradients)).double().square().sum()
        if first or not self.sums:
            self.count, self.squares, self.sums = 1, square, [g.clone() for g in gradients]
        else:
            self.count, self.squares = self.count + 1, self.squares + square
            torch._foreach_add_(self.sums, gradients)

    def noise(self) -> Values:
        n = self.count
        mean = (torch.stack(torch._foreach_norm(self.sums)).double() / n).square().sum()
        noise = (self.squares - n * mean) / (n - 1)
        signal = mean - noise / n
        return {"noise": noise, "signal": signal, "noise_scale": noise / signal}

    @property
    def state(self) -> dict[str, Any]:
        return {"count": self.count, "squares": self.squares, "sums": self.sums}

    @state.setter
    def state(self, saved: dict[str, Any]) -> None:
        self.count, self.squares, self.sums = saved["count"], saved["squares"], list(saved["sums"])
