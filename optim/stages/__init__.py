"""The stages of which optimizers are composed; how to write one: `optim/stages/base.py`."""

from optim.stages.average import lookahead
from optim.stages.base import Bucket, Evaluation, Stage
from optim.stages.factored import adafactor
from optim.stages.gradient import centralize, decay_matrices, normalize
from optim.stages.moments import adabelief, adabound, adam, momentum, yogi
from optim.stages.projection import radial_projection
from optim.stages.trust import trust_ratio

__all__ = [
    "Bucket",
    "Evaluation",
    "Stage",
    "adabelief",
    "adabound",
    "adafactor",
    "adam",
    "centralize",
    "decay_matrices",
    "lookahead",
    "momentum",
    "normalize",
    "radial_projection",
    "trust_ratio",
    "yogi",
]
