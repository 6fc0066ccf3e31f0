"""The stages of which optimizers are composed; how to write one: `optim/stages/base.py`."""

from .base import Bucket, Evaluation, Stage
from .factored import adafactor
from .moments import adabelief, adabound, adam, heavy_ball, yogi
from .plugins import centralize, decay_matrices, lookahead, normalize, trust_ratio

__all__ = [
    "Bucket", "Evaluation", "Stage", "adabelief", "adabound", "adafactor", "adam", "centralize", "decay_matrices",
    "heavy_ball", "lookahead", "normalize", "trust_ratio", "yogi",
]  # fmt: skip
