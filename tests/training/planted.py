"""A task that uses all of the interface: two players, something carried from batch to batch, random evaluation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.distribution import World
from training.tasks.base import Batch, Model, Turn
from training.tasks.classification import Multiclass


class Planted(Multiclass):
    """The head steps on every batch, the body on every second; the loss leans on the last batch's mean output."""

    def players(self, net: nn.Module) -> dict[str, nn.Module]:
        return {"head": net.head, "body": nn.ModuleList([net.stem, net.stages])}

    def turns(self, step: int) -> Sequence[str]:
        return ("head", "body") if step % 2 else ("head",)

    def rate(self, positions: Tensor) -> float:
        return len(positions) / 400

    def loss(self, model: Model, batch: Batch, turn: Turn) -> Tensor:
        outputs, before = self.outputs(model, batch), turn.carried
        loss = super().loss(model, batch, turn) * (2 if turn.player == "body" else 1)
        turn.carried = {"mean": outputs.detach().mean(0)}
        return loss if before is None else loss + (outputs.mean(0) - before["mean"]).square().sum()

    def after_turn(self, net: nn.Module, player: str, world: World) -> None:
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.clamp_(-0.5, 0.5)
