"""Optimizers as chains of stages: usable in any PyTorch loop, and knowing nothing of the rest of the suite."""

from typing import TYPE_CHECKING

from torch.optim import Optimizer

from .adam_then_sgd import AdamThenSGD
from .adamp import SGDP, AdamP
from .adamsrt import SGDMRT, AdamS, AdamSRT
from .adan import Adan
from .baselines import LAMB, AdaBelief, AdaBound, Adafactor, LookAhead, Yogi
from .build import build, configure, create_optimizer
from .chain import Chain
from .closures import closure
from .evaluations import SAM
from .grassmann import SGDG, AdamG, AdamGRepo, AdamGStar
from .invariance import param_groups, split_groups, suspects
from .library import describe, list_optimizers
from .line_search import SLS
from .lion import Cautious, Lion
from .mars import MARS
from .muon import Muon
from .prodigy import Prodigy
from .rmsgd import RMSGD
from .schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from .second_order import AdaHessian, Sophia
from .shampoo import SOAP, Shampoo
from .sing import GC_SGD, SING, GC_AdamW
from .stages import by_name

__all__ = [
    "GC_SGD", "LAMB", "MARS", "RMSGD", "SAM", "SGDG", "SGDMRT", "SGDP", "SING", "SLS", "SOAP", "AdaBelief",
    "AdaBound", "AdaHessian", "Adafactor", "AdamG", "AdamGRepo", "AdamGStar", "AdamP", "AdamS", "AdamSRT",
    "AdamThenSGD", "Adan", "Cautious", "Chain", "GC_AdamW", "Lion", "LookAhead", "Muon", "Prodigy",
    "ScheduleFreeAdamW", "ScheduleFreeSGD", "Shampoo", "Sophia", "Yogi", "build", "closure", "configure",
    "create_optimizer", "describe", "list_optimizers", "param_groups", "split_groups", "suspects",
]  # fmt: skip

if not TYPE_CHECKING:

    def __getattr__(name: str) -> type[Optimizer]:
        """Find a class in a file that is not listed above: a new optimizer needs no entry here."""
        found = by_name.known(Optimizer)
        if name in found:
            return found[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
