"""Norms of weights and steps."""

from __future__ import annotations

from typing import ClassVar

import torch

from probes.probe import Probe, Step, Values


class Norms(Probe):
    """Norm of each tensor after the step, its growth by the step, and the step, in weight space and on the sphere.

    `growth` is ||w'||^2 - ||w||^2: lr^2 ||g||^2 for plain descent on a scale-invariant weight (AdamP, Lemma 2.1);
    `step_length` is ||w' - w||; `effective_step` is the chord ||w'/||w'|| - w/||w|| || on the sphere (AdamP, Eq. 5).
    Scalars: means over the tensors (AdamP, Table 1 and Appendix F), and the norm of all of them.
    """

    needs: ClassVar = frozenset({"before"})
    matrices_only: ClassVar = False

    def observe(self, step: Step) -> Values:
        after = step.after
        norm, old = torch.stack(torch._foreach_norm(after)), torch.stack(torch._foreach_norm(step.before))
        moved = torch.stack(torch._foreach_norm(torch._foreach_sub(after, step.before)))
        # The chord of two unit vectors from lengths alone: |u' - u|^2 = (|w' - w|^2 - (|w'| - |w|)^2) / (|w'| |w|).
        chord = ((moved**2 - (norm - old) ** 2).clamp_min(0) / (norm * old)).sqrt()
        per_layer = {"norm": norm, "growth": norm**2 - old**2, "step_length": moved, "effective_step": chord}
        return per_layer | {
            "total_norm": norm.norm(),
            "mean_norm": norm.mean(),
            "mean_effective_step": torch.nanmean(chord),
        }
