"""Low-rank structure of the layers, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch

from probes.probe import Probe, Values, Watched

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
        from optim.evbmf import analyse, quality_of_net

        spectra = [analyse(w.parameter, self.evbmf_scale) for w in tensors]
        columns = zip(*spectra, strict=True)
        per_layer = {name: torch.tensor(c) for name, c in zip(type(spectra[0])._fields, columns, strict=True)}
        structured = per_layer["rank"] > 0
        means = {f"mean_{name}": per_layer[name][structured].mean() for name in MEANS}
        per_layer["rate"] = torch.tensor([float(w.group["lr"]) * own_rate(w) for w in tensors])
        whole = {"Q": torch.tensor(quality_of_net(s.quality for s in spectra))}
        return per_layer | whole | means | {"without_structure": (per_layer["rank"] == 0).sum()}


def own_rate(watched: Watched) -> float:
    """Return the tensor's own factor of the rate, 1 for optimizers that have none."""
    rate = watched.buffer("rate")
    return 1.0 if rate is None else float(rate)
