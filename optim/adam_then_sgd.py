"""Adam for some epochs, then SGD, as music taggers are. Raises ValueError, one line, for a value out of range."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .chain import LONGEST_EPOCH, Chain, Options
from .stages.base import Bucket, Numbers, Ranges, Stage, Step
from .stages.keywords import Betas, Count, Eps, Momentum, Rate, WeightDecay
from .stages.moments import Nesterov, adam, heavy_ball

Epochs = Annotated[Count, "epochs of Adam"]


class AdamThenSGD(Chain, decay="coupled"):
    """Adam until `epoch_end()` was called `adam_epochs` times, then SGD, whose momentum starts at 0 there.

    One rate for both, to be changed by a schedule. Decay is coupled (L2) in both.

    References: Won et al. 2019 (arXiv 1906.04972) and the authors' code; AdamP (Heo et al. 2021), E.5. (The text starts
    SGD from the best weights so far; the code names their file and does not read it, and nor is it done here.)

        >>> optimizer = AdamThenSGD(model.parameters(), lr=1e-4, adam_epochs=60, weight_decay=1e-4)
        >>> optimizer.epoch_end()  # after the steps of each epoch
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 1e-4,
        betas: Betas = (0.9, 0.999),
        eps: Eps = 1e-8,
        momentum: Momentum = 0.9,
        nesterov: Nesterov = True,
        adam_epochs: Epochs = 60,
        weight_decay: WeightDecay = 0.0,
        **options: Unpack[Options],
    ) -> None:
        stages = (adam_then_sgd(betas, eps, momentum, nesterov, adam_epochs),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class adam_then_sgd(Stage):
    """The update of `AdamThenSGD`: both stages run, SGD on zeros until its time has come."""

    name = "phases"
    ranges: ClassVar[Ranges] = {"dampening": "[0, 1]"}  # SGD's, which is 0

    def __init__(
        self,
        betas: Betas = (0.9, 0.999),
        eps: Eps = 1e-8,
        momentum: Momentum = 0.9,
        nesterov: Nesterov = True,
        adam_epochs: Epochs = 60,
    ) -> None:
        self.adam, self.sgd = (
            adam(betas, eps).named("phases.adam"),
            heavy_ball(momentum, first="zero").named("phases.sgd"),
        )
        super().__init__(**self.adam.hyper | self.sgd.hyper | {"nesterov": nesterov, "adam_epochs": adam_epochs})

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        own = {f"adam.{name}": buffer for name, buffer in self.adam.init(param, options).items()}
        own |= {f"sgd.{name}": buffer for name, buffer in self.sgd.init(param, options).items()}
        return own | {"epoch": torch.zeros((), device=param.device)}

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        own: Numbers = {f"adam.{name}": value for name, value in self.adam.scalars(hyper, step).items()}
        own |= {f"sgd.{name}": value for name, value in self.sgd.scalars(hyper, step).items()}
        return own | {"adam_epochs": float(hyper["adam_epochs"])}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        (epoch,) = bucket.buffers(self, "epoch")
        late = [now >= last for now, last in zip(epoch, bucket.scalar(self, "adam_epochs"), strict=True)]
        early = self.adam.update(replace(bucket, options={**bucket.options, "nesterov": False}), updates)
        fed = [torch.where(on, update, 0.0) for on, update in zip(late, updates, strict=True)]
        return [torch.where(*three) for three in zip(late, self.sgd.update(bucket, fed), early, strict=True)]

    def epoch_end(self, chain: Chain) -> None:
        for state in chain.state.values():
            state["phases.epoch"] += 1

    def switched_off(self, chain: Chain) -> str | None:
        if chain.steps_taken < LONGEST_EPOCH or any(float(state["phases.epoch"]) for state in chain.state.values()):
            return None
        return (
            f"{LONGEST_EPOCH} steps without epoch_end(), which is to be called after each epoch: until then it is Adam"
        )
