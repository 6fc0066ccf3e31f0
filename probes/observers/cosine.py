"""Cosine of weight and gradient."""

from __future__ import annotations

from typing import ClassVar

import torch

from optim.groups import radial_cosine
from probes.probe import Probe, Step, Values
from probes.sphere import cosines, filters


class Cosine(Probe):
    """|cos(w, grad)| of each tensor (AdamP, Eq. 11 and Section C): rounding error for a scale-invariant weight.

    `cosine` is of the whole tensor; `channel` and `whole` are sqrt(d) max |cos| over its filters, and of it whole,
    which AdamP compares with delta (for matrices; a vector's `channel` says nothing).
    """

    matrices_only: ClassVar = False

    def observe(self, step: Step) -> Values:
        pairs = list(zip(step.before, step.gradients, strict=True))
        return {
            "cosine": torch.cat([cosines(filters(w, "layer"), filters(g, "layer")) for w, g in pairs]),
            "channel": torch.stack([radial_cosine(w, g, "channel") for w, g in pairs]),
            "whole": torch.stack([radial_cosine(w, g, "layer") for w, g in pairs]),
        }
