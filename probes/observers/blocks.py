"""Norms of SING's blocks."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from probes.probe import Probe, Step, Values


class Blocks(Probe):
    """What SING normalises: the norm of each tensor's centralised gradient (SING, Appendix A, phi and Gamma).

    phi takes the mean of each slice of dim 0 off (tensors of 2 and more dimensions). `norm` is ||phi(g)||, which SING
    makes 1; `removed` is the share of ||g||^2 that phi takes off. `spread` is the largest norm over the smallest:
    the imbalance between blocks that the normalisation removes.
    """

    needs: ClassVar = frozenset({"gradients"})
    matrices_only: ClassVar = False

    def observe(self, step: Step) -> Values:
        centred = torch.stack(torch._foreach_norm([centralised(g) for g in step.gradients]))
        whole = torch.stack(torch._foreach_norm(step.gradients))
        return {"norm": centred, "removed": 1 - (centred / whole) ** 2, "spread": centred.amax() / centred.amin()}


def centralised(gradient: Tensor) -> Tensor:
    """Return the gradient less the mean of each slice of dim 0; a vector or scalar as it is."""
    if gradient.ndim < 2:
        return gradient
    return gradient - gradient.mean(dim=tuple(range(1, gradient.ndim)), keepdim=True)
