"""The losses of single steps: rows where they are asked for, and what they tell of a run that diverged."""

from collections import deque
from typing import Any

import torch
from torch import Tensor, nn

from training.distribution import World

KEPT = 32  # losses that the result of a diverged run keeps
LOOKS, EVERY = 64, 16  # norms that are kept, and steps between two; the first steps are all looked at
GROWN = 10.0  # a layer whose norm is so many times the first one kept has grown


class Losses:
    """Keeps losses and the norms of the layers on the device, so that no step waits for them.

    model: each module with trainable parameters of its own is a layer. every_steps: between two rows, 0 for none.
    """

    def __init__(self, model: nn.Module, every_steps: int) -> None:
        own = {name: list(module.parameters(recurse=False)) for name, module in model.named_modules()}
        self._layers = {name or "the net": parameters for name, parameters in own.items() if parameters}
        self._every = every_steps
        self._last: deque[tuple[int, Tensor]] = deque(maxlen=KEPT)
        self._due: list[tuple[int, Tensor]] = []
        self._norms: deque[tuple[int, Tensor]] = deque(maxlen=LOOKS)

    def add(self, step: int, loss: Tensor) -> None:
        """Take a step's loss, a scalar on the device; step: counted from 1."""
        self._last.append((step, loss))
        if self._every and step % self._every == 0:
            self._due.append((step, loss))
        if step <= EVERY or step % EVERY == 0:
            self.look(step)

    @torch.no_grad()
    def look(self, step: int) -> None:
        """Keep the norms of all layers."""
        norms = [torch.stack([p.norm() for p in parameters]).norm() for parameters in self._layers.values()]
        self._norms.append((step, torch.stack(norms)))

    def rows(self, world: World) -> list[dict[str, Any]]:
        """Return a row for each loss that is due since the last call; every process has to ask."""
        due, self._due = self._due, []
        return [{"kind": "step", "step": step, "loss": loss} for step, loss in _means(due, world)]

    def diverged(self, step: int, world: World) -> dict[str, Any]:
        """Say where a run diverged: the step, the last finite loss, and the layer whose norm grew first.

        growth: of that layer's norm, over the looks that are kept; layer_step: when that was seen. losses: of the last
        steps. Every process has to ask.
        """
        self.look(step)
        last = _means(list(self._last), world)
        finite = [loss for _, loss in last if torch.tensor(loss).isfinite()]
        steps, norms = zip(*self._norms, strict=True)
        look, layer, growth = first_to_grow(torch.stack(norms).cpu())
        return {
            "step": next((at for at, loss in last if not torch.tensor(loss).isfinite()), step),
            "loss": finite[-1] if finite else None,
            "layer": list(self._layers)[layer],
            "layer_step": steps[look],
            "growth": growth,
            "losses": [list(entry) for entry in last],
        }


def first_to_grow(norms: Tensor) -> tuple[int, int, float]:
    """Return at which look a layer had grown first, which one, and how many times its first norm that was.

    norms: [looks, layers]. Of layers that are no longer finite the growth is that of the look before. Without any that
    has grown it is the one that grew most. A layer that begins at zero has no growth to compare.
    """
    growth = torch.where(norms[0] > 0, norms / norms[0], torch.ones(()))
    broken = ~growth.isfinite()
    seen = torch.where(broken, growth.roll(1, 0), growth)
    seen[0] = 1.0
    seen = torch.where(seen.isfinite(), seen, torch.full((), -1.0))
    grown = broken | (growth > GROWN)
    looks = grown.any(dim=1).nonzero()
    look = int(looks[0]) if len(looks) else len(norms) - 1
    chosen = torch.where(grown[look], seen[look], torch.full((), -2.0)) if len(looks) else seen[look]
    layer = int(chosen.argmax())
    return look, layer, float(seen[look, layer])


def _means(losses: list[tuple[int, Tensor]], world: World) -> list[tuple[int, float]]:
    """Return the losses of the global batches; each process has those of its share."""
    if not losses:
        return []
    steps, values = zip(*losses, strict=True)
    means: list[float] = (world.sum(torch.stack(values).float()) / world.size).tolist()
    return list(zip(steps, means, strict=True))
