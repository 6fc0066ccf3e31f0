"""Optimizers as chains of stages: usable in any PyTorch loop, and knowing nothing of the rest of the suite."""

from optim.adabelief import AdaBelief
from optim.adabound import AdaBound
from optim.adamp import SGDP, AdamP
from optim.build import build
from optim.chain import Chain
from optim.configure import configure
from optim.groups import describe, param_groups
from optim.lamb import LAMB
from optim.lookahead import LookAhead
from optim.sing import GC_SGD, SING, GC_AdamW
from optim.yogi import Yogi

__all__ = [
    "GC_SGD",
    "LAMB",
    "SGDP",
    "SING",
    "AdaBelief",
    "AdaBound",
    "AdamP",
    "Chain",
    "GC_AdamW",
    "LookAhead",
    "Yogi",
    "build",
    "configure",
    "describe",
    "param_groups",
]
