"""Optimizers as chains of stages: usable in any PyTorch loop, and knowing nothing of the rest of the suite."""

from .adamp import SGDP, AdamP
from .adamsrt import SGDMRT, AdamS, AdamSRT
from .baselines import LAMB, AdaBelief, AdaBound, Adafactor, LookAhead, Yogi
from .build import build, configure
from .chain import Chain
from .evaluations import SAM, SLS
from .grassmann import SGDG, AdamG, AdamGRepo, AdamGStar
from .invariance import describe, param_groups, suspects
from .rmsgd import RMSGD
from .sing import GC_SGD, SING, GC_AdamW

__all__ = [
    "GC_SGD", "LAMB", "RMSGD", "SAM", "SGDG", "SGDMRT", "SGDP", "SING", "SLS", "AdaBelief", "AdaBound", "Adafactor",
    "AdamG", "AdamGRepo", "AdamGStar", "AdamP", "AdamS", "AdamSRT", "Chain", "GC_AdamW", "LookAhead", "Yogi", "build",
    "configure", "describe", "param_groups", "suspects",
]  # fmt: skip
