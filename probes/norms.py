"""Sizes of weights, steps and gradients, tensor by tensor: norms, gradient noise, SING's blocks, and RMSGD's ranks."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from optim import evbmf
from probes.probe import Probe, Step, Values, Watched


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
        means = {"mean_norm": norm.mean(), "mean_effective_step": torch.nanmean(chord)}
        return per_layer | means | {"total_norm": norm.norm()}


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
            # What a checkpoint held is on the CPU.
            self.sums = [total.to(g.device) + g for total, g in zip(self.sums, gradients, strict=True)]

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


class Blocks(Probe):
    """What SING normalises: the norm of each tensor's centralised gradient (SING, Appendix A, phi and Gamma).

    phi takes the mean of each slice of dim 0 off (of slices of 2 and more entries). `norm` is ||phi(g)||, which SING
    makes 1; `removed` is the share of ||g||^2 that phi takes off. `spread` is the largest norm over the smallest:
    the imbalance between blocks that the normalisation removes.
    """

    needs: ClassVar = frozenset({"gradients"})
    matrices_only: ClassVar = False

    def observe(self, step: Step) -> Values:
        rows = [g.flatten(1) if g.shape[1:].numel() > 1 else g.flatten() for g in step.gradients]
        centralised = [row - row.mean(1, keepdim=True) if row.ndim > 1 else row for row in rows]
        centred = torch.stack(torch._foreach_norm(centralised))
        whole = torch.stack(torch._foreach_norm(step.gradients))
        return {"norm": centred, "removed": 1 - (centred / whole) ** 2, "spread": centred.amax() / centred.amin()}


MEANS = ("stable_rank", "condition", "quality", "code_stable_rank", "code_condition")


class Ranks(Probe):
    """EVBMF rank, stable rank s, condition, quality q of each kernel, and Q of the net (RMSGD, Eq. 1 to 5).

    As `optim.evbmf.Spectrum` names them: as printed, and with `code_` before the name as the authors' code has them. Q
    and the means leave out the layers without structure; `without_structure` counts them. `rate` is the group's
    latest, times the tensor's own where the optimizer has one (RMSGD: the next epoch's). Looks at the weights at the
    end of every `every_epochs`-th epoch, never during one.
    """

    needs: ClassVar = frozenset[str]()

    def __init__(
        self,
        every_epochs: int = 1,
        linear: bool = False,
        evbmf_scale: str = "official",
        layers: Sequence[str] = ("*",),
        per_layer: bool = True,
    ) -> None:
        """linear: also the weights of linear maps. evbmf_scale: see `optim.evbmf`."""
        super().__init__(layers=layers, per_layer=per_layer)
        self.every_epochs, self.linear, self.evbmf_scale = every_epochs, linear, evbmf_scale

    def watches(self, tensors: Iterable[Watched]) -> list[Watched]:
        found = super().watches(tensors)
        return [w for w in found if w.parameter.ndim > 2 or self.linear]

    def due(self, step: int) -> bool:
        return False

    def epoch_end(self, epoch: int, tensors: Sequence[Watched]) -> Values:
        if epoch % self.every_epochs or not tensors:
            return {}
        spectra = [evbmf.analyse(w.parameter, self.evbmf_scale) for w in tensors]
        columns = zip(*spectra, strict=True)
        per_layer = {name: torch.tensor(c) for name, c in zip(type(spectra[0])._fields, columns, strict=True)}
        structured = per_layer["rank"] > 0
        means = {f"mean_{name}": per_layer[name][structured].mean() for name in MEANS}
        own = [1.0 if (rate := w.buffer("rate")) is None else float(rate) for w in tensors]  # some methods have none
        per_layer["rate"] = torch.tensor(
            [float(w.group["lr"]) * factor for w, factor in zip(tensors, own, strict=True)]
        )
        whole = {"Q": torch.tensor(evbmf.quality_of_net(s.quality for s in spectra))}
        return per_layer | whole | means | {"without_structure": (per_layer["rank"] == 0).sum()}
