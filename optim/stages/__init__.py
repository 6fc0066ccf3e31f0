"""The stages of which optimizers are composed; how to write one: `optim/stages/base.py`."""

from optim.stages.average import lookahead
from optim.stages.base import Bucket, Evaluation, Stage
from optim.stages.gradient import centralize, decay_matrices, normalize
from optim.stages.moments import adam, momentum

__all__ = [
    "Bucket",
    "Evaluation",
    "Stage",
    "adam",
    "centralize",
    "decay_matrices",
    "lookahead",
    "momentum",
    "normalize",
]
