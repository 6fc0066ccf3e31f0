"""Optimizers as chains of stages: usable in any PyTorch loop, and knowing nothing of the rest of the suite."""

from optim.adabelief import AdaBelief
from optim.adabound import AdaBound
from optim.adafactor import Adafactor
from optim.adamp import SGDP, AdamP
from optim.adamsrt import SGDMRT, AdamS, AdamSRT
from optim.build import build
from optim.chain import Chain
from optim.configure import configure
from optim.grassmann import SGDG, AdamG, AdamGRepo, AdamGStar
from optim.groups import describe, param_groups
from optim.lamb import LAMB
from optim.lookahead import LookAhead
from optim.rmsgd import RMSGD
from optim.sam import SAM
from optim.sing import GC_SGD, SING, GC_AdamW
from optim.sls import SLS
from optim.yogi import Yogi

__all__ = [
    "GC_SGD",
    "LAMB",
    "RMSGD",
    "SAM",
    "SGDG",
    "SGDMRT",
    "SGDP",
    "SING",
    "SLS",
    "AdaBelief",
    "AdaBound",
    "Adafactor",
    "AdamG",
    "AdamGRepo",
    "AdamGStar",
    "AdamP",
    "AdamS",
    "AdamSRT",
    "Chain",
    "GC_AdamW",
    "LookAhead",
    "Yogi",
    "build",
    "configure",
    "describe",
    "param_groups",
]
