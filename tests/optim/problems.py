"""Losses whose gradient depends on the weights, for methods that call their closure more than once."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

SHAPES = [(4, 3, 3, 3), (5, 6), (5,), ()]


def weights(dtype: torch.dtype = torch.float64) -> list[Parameter]:
    draw = torch.Generator().manual_seed(0)
    return [Parameter(torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype)) for shape in SHAPES]


def slopes(step: int) -> list[np.ndarray]:
    draw = np.random.default_rng(step)
    return [draw.standard_normal(shape) for shape in SHAPES]


def loss(w: list[np.ndarray], step: int) -> float:
    """f(w) = sum cosh(w) / 5 + <slope, w>: convex, smooth, no fixed step is right."""
    return float(sum((np.cosh(x) / 5 + a * x / 10).sum() for x, a in zip(w, slopes(step), strict=True)))


def gradient(w: list[np.ndarray], step: int) -> list[np.ndarray]:
    return [np.sinh(x) / 5 + a / 10 for x, a in zip(w, slopes(step), strict=True)]


class Closure:
    """The closure protocol: the loss at the weights, gradients only where they are enabled; counts its calls."""

    def __init__(self, params: list[Parameter], sign: float = 1.0) -> None:
        self.params, self.sign, self.step = params, sign, 0
        self.with_gradient = self.without = 0

    def __call__(self) -> Tensor:
        given = [torch.as_tensor(a, dtype=p.dtype) for a, p in zip(slopes(self.step), self.params, strict=True)]
        value = sum((p.cosh() / 5 + a * p / 10).sum() for p, a in zip(self.params, given, strict=True))
        if not torch.is_grad_enabled():
            self.without += 1
            return self.sign * value
        self.with_gradient += 1
        for p in self.params:
            p.grad = None
        (self.sign * value).backward()
        return (self.sign * value).detach()
