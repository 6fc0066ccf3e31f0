"""Optimizers as chains of stages: usable in any PyTorch loop, and knowing nothing of the rest of the suite."""

from optim.chain import Chain
from optim.groups import describe, param_groups
from optim.sing import SING

__all__ = ["SING", "Chain", "describe", "param_groups"]
