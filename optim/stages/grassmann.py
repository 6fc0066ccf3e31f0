"""Stages that move rows of weights on the unit sphere (the Grassmann manifold of lines).

y is a group of weights divided by its norm. A scale-invariant function's gradient at y is ||w|| times that at w: so
weights need not start on the sphere, and are on it from the first step on. Weight decay does not act on a sphere.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

from .base import Bucket, Numbers, Stage, Step
from .keywords import Betas, Eps, Momentum, NotNegative
from .lists import once, root, rows
from .sphere import group_moments, inner

Omega = Annotated[NotNegative, "weight of the orthogonality penalty; alpha in the paper"]
Clip = Annotated[NotNegative, "bound of ||h||, nu; 0: none"]
Ratio = Annotated[NotNegative, "rate on the sphere, in units of lr"]


class Sphere(Stage):
    """What they share: the gradient at y, and no decay."""

    name = "sphere"

    def gradients(self, bucket: Bucket) -> list[Tensor]:
        """The gradients at y, without any decay in them."""
        bucket.decay_scale = [0.0] * len(bucket.params)
        kind = bucket.options["invariance"]
        return [norm(p, kind) * g for p, g in zip(bucket.params, bucket.grads, strict=True)]

    def accumulate(self, bucket: Bucket, gradients: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) ||g||^2, in place; returns m and v."""
        m, v = bucket.buffers(self, "exp_avg", "exp_avg_sq")
        kind, betas1, betas2 = bucket.options["invariance"], bucket.scalar(self, "beta1"), bucket.scalar(self, "beta2")
        for x, y, gradient, beta1, beta2 in zip(m, v, gradients, betas1, betas2, strict=True):
            x.mul_(beta1).add_(gradient * (1 - beta1))
            y.mul_(beta2).add_(inner(gradient, gradient, kind) * (1 - beta2))
        return m, v


class Riemannian(Sphere):
    """Cho and Lee (2017), Sec. 4: the gradient's tangent part, regularised and clipped; the rate is `lr_ratio` * lr.

    h = g - <y, g> y for g = df/dy + 2 omega (Y Y^T Y - Y) with rows Y; then h * min(1, grad_clip / ||h||).
    `grad_clip` 0: none.
    """

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        return super().scalars(hyper, step) | {"grad_clip": float(hyper["grad_clip"]) or math.inf}

    def tangent(self, bucket: Bucket) -> list[Tensor]:
        """h, and the rate's ratio noted."""
        bucket.rate_scale = bucket.scalar(self, "lr_ratio")
        kind, numbers = bucket.options["invariance"], (bucket.scalar(self, key) for key in ("omega", "grad_clip"))
        tangents = []
        for p, g, omega, clip in zip(bucket.params, self.gradients(bucket), *numbers, strict=True):
            y = unit(p, kind)
            if kind == "channel":
                m = rows(y)
                g = g + (2 * omega * (m @ m.T @ m - m)).view_as(g)
            h = g - inner(y, g, kind) * y
            tangents.append(h * (clip / norm(h, kind)).clamp(max=1.0))
        return tangents


class sphere_momentum(Riemannian):
    """SGD-G (Cho and Lee 2017, Algorithm 1): d = mu b - lr h, y <- exp_y(d), b <- d carried along itself."""

    zeros = ("buffer",)

    def __init__(self, momentum: Momentum, omega: Omega, grad_clip: Clip, lr_ratio: Ratio) -> None:
        super().__init__(momentum=momentum, omega=omega, grad_clip=grad_clip, lr_ratio=lr_ratio)

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        return self.tangent(bucket)

    def retract(self, bucket: Bucket, steps: list[Tensor]) -> list[Tensor]:
        (buffers,), kind = bucket.buffers(self, "buffer"), bucket.options["invariance"]
        moved = []
        for p, b, mu, step in zip(bucket.params, buffers, bucket.scalar(self, "momentum"), steps, strict=True):
            y, d = unit(p, kind), b * mu - step
            theta = norm(d, kind)
            b.copy_(d * once(theta.cos()) - y * once(theta * theta.sin()))
            moved.append(exponential(y, d, theta))
        return moved


class sphere_adam(Riemannian):
    """Adam-G (Cho and Lee 2017, Algorithm 2): v holds one number a group, eps is inside the root.

    d = -lr sqrt(1 - b2^t) / (1 - b1^t) m / sqrt(v + eps), y <- exp_y(d), m <- m carried along d.
    """

    def __init__(self, betas: Betas, eps: Eps, omega: Omega, grad_clip: Clip, lr_ratio: Ratio) -> None:
        super().__init__(betas=betas, eps=eps, omega=omega, grad_clip=grad_clip, lr_ratio=lr_ratio)

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return group_moments(param, options["invariance"])

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        beta1, beta2 = (float(beta) for beta in hyper["betas"])
        alpha = root(1 - beta2**step) / (1 - beta1**step)
        return super().scalars(hyper, step) | {"beta1": beta1, "beta2": beta2, "alpha": alpha}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        m, v = self.accumulate(bucket, self.tangent(bucket))
        alphas, epss = bucket.scalar(self, "alpha"), bucket.scalar(self, "eps")
        return [x * (a / (y + eps).sqrt()) for x, y, a, eps in zip(m, v, alphas, epss, strict=True)]

    def retract(self, bucket: Bucket, steps: list[Tensor]) -> list[Tensor]:
        (moments,), kind = bucket.buffers(self, "exp_avg"), bucket.options["invariance"]
        moved = []
        for p, m, step in zip(bucket.params, moments, steps, strict=True):
            y, theta = unit(p, kind), norm(step, kind)
            u = unit(-step, kind)
            m.sub_(inner(u, m, kind) * (y * once(theta.sin()) + u * once(1 - theta.cos())))
            moved.append(exponential(y, -step, theta))
        return moved


class sphere_adam_repo(Sphere):
    """AdamG as in the repository of Adam-SRT, on the groups that it was meant for: its two branches are exchanged.

    v <- b2 v + (1 - b2) ||g||^2, x' = x - lr mhat / (sqrt(vhat) + eps), then
    m <- (<x', x> m - <x', m> x) / (||x|| ||x'|| + eps), x <- x' / (||x'|| + eps). No tangent part, no exponential map.
    """

    def __init__(self, betas: Betas, eps: Eps) -> None:
        super().__init__(betas=betas, eps=eps)

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return group_moments(param, options["invariance"])

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        beta1, beta2 = (float(beta) for beta in hyper["betas"])
        bias = {"bias1": 1 - beta1**step, "root": root(1 - beta2**step)}
        return super().scalars(hyper, step) | {"beta1": beta1, "beta2": beta2, **bias}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        bucket.decay_scale = [0.0] * len(bucket.params)
        m, v = self.accumulate(bucket, bucket.grads)
        numbers = (bucket.scalar(self, name) for name in ("bias1", "root", "eps"))
        return [x / (bias * (y.sqrt() / root + eps)) for x, y, bias, root, eps in zip(m, v, *numbers, strict=True)]

    def retract(self, bucket: Bucket, steps: list[Tensor]) -> list[Tensor]:
        (moments,), kind = bucket.buffers(self, "exp_avg"), bucket.options["invariance"]
        moved = []
        for x, m, eps, step in zip(bucket.params, moments, bucket.scalar(self, "eps"), steps, strict=True):
            new = x - step
            turned = inner(new, x, kind) * m - inner(new, m, kind) * x
            m.copy_(turned / (norm(x, kind) * norm(new, kind) + eps))
            moved.append(new / (norm(new, kind) + eps))
        return moved


class sphere_sgd(Sphere):
    """AdamG* (Roburin et al. 2022, Theorem 4), by the fourth power R of the radius that SGD with L2 would have.

    R_0 = ||w_0||^4, beta = (1 - lr lambda)^4, y <- unit(y - lr beta^(-1/4) g / sqrt(R)),
    R <- beta R + 2 sqrt(beta) lr^2 ||g||^2: for a constant lr the paper's v is R / (2 lr^2 sqrt(beta)).
    """

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"radius4": inner(param, param, options["invariance"]).square()}

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        lr = hyper["lr"]
        keep = 1 - lr * float(hyper["weight_decay"])
        return {"keep": keep, "growth": 2 * keep**2 * lr**2}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        (fourth,), kind = bucket.buffers(self, "radius4"), bucket.options["invariance"]
        keeps, growths = bucket.scalar(self, "keep"), bucket.scalar(self, "growth")
        turned = []
        for g, r4, keep, growth in zip(self.gradients(bucket), fourth, keeps, growths, strict=True):
            turned.append(torch.where(r4 == 0, 0.0, g / (keep * r4.sqrt())))
            r4.mul_(keep**4).add_(inner(g, g, kind) * growth)
        return turned

    def retract(self, bucket: Bucket, steps: list[Tensor]) -> list[Tensor]:
        kind = bucket.options["invariance"]
        return [unit(unit(p, kind) - step, kind) for p, step in zip(bucket.params, steps, strict=True)]


def norm(x: Tensor, kind: str) -> Tensor:
    """The norm of each group, in the shape of `inner`."""
    return once(inner(x, x, kind).sqrt())


def unit(x: Tensor, kind: str) -> Tensor:
    """x over its norm, group by group; 0 stays 0."""
    return x / norm(x, kind).clamp_min(torch.finfo(x.dtype).tiny)


def exponential(y: Tensor, d: Tensor, theta: Tensor) -> Tensor:
    """exp_y(d) = y cos ||d|| + d sin ||d|| / ||d|| for the norms theta of d."""
    return y * once(theta.cos()) + d * once(torch.sinc(theta / math.pi))
