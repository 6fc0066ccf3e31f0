"""AdaHessian (Yao et al. 2021) and Sophia (Liu et al. 2024): the diagonal of the curvature, through the closure.

Each raises ValueError, one line, for a value out of range.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, distributed
from torch.nn.functional import cross_entropy
from torch.optim.optimizer import ParamsT
from torch.overrides import TorchFunctionMode

from .chain import Chain, Options
from .stages.base import BETAS, Betas, Bucket, Closure, Evaluation, Ranges, Stage, check
from .stages.lists import blend_

PRIME = 2_654_435_761  # spreads seeds over the 32 bits


class AdaHessian(Chain):
    """AdaHessian: w <- w - lr mhat / ((sqrt(vhat))^k + eps), v <- b2 v + (1 - b2) D^2, D = |z (H z)| by Hutchinson.

    z is 1 or -1 in each entry; D of a convolution is averaged over each kernel's height and width. H z is computed
    in the closure's own `loss.backward()`, by a second backward pass.

    Args:
        lr: eta, in [0, inf).
        betas: beta_1 and beta_2, in [0, 1).
        eps: epsilon, in [0, inf).
        weight_decay: decoupled coefficient, in [0, inf).
        hessian_power: k, in [0, 1].
        update_period: steps between two estimates, in [1, inf); v moves with them.
        seed: of z, in [0, inf).

    References: Yao et al. 2021 (arXiv 2006.00719), Algorithm 1, and the authors' code. (Block averaging is theirs for
    convolutions.) Raises RuntimeError in `step` where the closure calls no `loss.backward()`.

        >>> optimizer = AdaHessian(model.parameters(), lr=0.15)
        >>> loss = optimizer.step(closure)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.15,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-4,
        weight_decay: float = 0.0,
        hessian_power: float = 1.0,
        update_period: int = 1,
        seed: int = 0,
        **options: Unpack[Options],
    ) -> None:
        options.setdefault("evaluation", hutchinson(update_period, "rademacher", seed))
        super().__init__(params, (adahessian(betas, eps, hessian_power),), lr=lr, weight_decay=weight_decay, **options)


class Sophia(Chain):
    """Sophia: w <- w - lr clip(m / max(gamma h, eps), 1), h <- b2 h + (1 - b2) hhat every `update_period` steps.

    Sophia-G (estimator "gnb"): hhat = B ghat^2, ghat the mean gradient over the B predictions of a batch at labels
    that are drawn from the net's own distribution; for losses that the closure takes by cross_entropy. Sophia-H
    ("hutchinson"): hhat = z (H z), z normal. Both happen in the closure's own `loss.backward()`.

    Args:
        lr: eta, in [0, inf).
        betas: beta_1 of m and beta_2 of h, in [0, 1).
        eps: epsilon, in (0, inf).
        weight_decay: decoupled coefficient lambda, in [0, inf).
        gamma: scale of h, in (0, inf); the authors' rho; 0.01 for Sophia-H.
        update_period: k, steps between two estimates, in [1, inf).
        estimator: "gnb" or "hutchinson".
        seed: of labels and z, in [0, inf).

    References: Liu et al. 2024 (arXiv 2305.14342), Algorithms 1 to 3, and the authors' code, whose batch size is
    among gamma's numbers. Raises RuntimeError in `step` where the closure calls no `loss.backward()`.

        >>> optimizer = Sophia(model.parameters(), lr=1e-4)
        >>> loss = optimizer.step(closure)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-4,
        betas: Betas = (0.965, 0.99),
        eps: float = 1e-12,
        weight_decay: float = 0.1,
        gamma: float = 0.05,
        update_period: int = 10,
        estimator: str = "gnb",
        seed: int = 0,
        **options: Unpack[Options],
    ) -> None:
        check("estimator", estimator, ("gnb", "hutchinson"))
        drawn = gauss_newton(update_period, seed) if estimator == "gnb" else hutchinson(update_period, "normal", seed)
        options.setdefault("evaluation", drawn)
        super().__init__(params, (sophia(betas, eps, gamma),), lr=lr, weight_decay=weight_decay, **options)


class _Curvature(Evaluation):
    """Takes the gradient once, and every `period` steps an estimate of the curvature's diagonal with it.

    The stage that follows finds it in `estimates`. Random numbers depend on seed and step alone, so that a resumed run
    draws the same.
    """

    name = "curvature"
    needs_closure = True

    def __init__(self, update_period: int = 1, seed: int = 0) -> None:
        super().__init__()
        check("update_period", update_period, "[1, inf)")
        check("seed", seed, "[0, inf)")
        self.period, self.seed = update_period, seed
        self.estimates: dict[Tensor, Tensor] = {}

    def gradients(self, chain: Chain, closure: Closure) -> Any:
        step = max((int(state["step"]) for state in chain.state.values()), default=0)
        self.estimates = {}
        if step % self.period:
            return super().gradients(chain, closure)
        params = [p for group in chain.param_groups for p in group["params"] if p.requires_grad]
        with self.probe(params, step) as probe:
            loss = super().gradients(chain, closure)
        if not probe.called:
            raise RuntimeError(f"{type(chain).__name__}: the closure is to call loss.backward(){probe.wanted}")
        self.estimates = {p: _over_ranks(x) for p, x in zip(params, probe.results(), strict=True) if p.grad is not None}
        return loss

    def probe(self, params: list[Tensor], step: int) -> "Probe":
        """What watches the closure of this step."""
        raise NotImplementedError

    def generator(self, device: torch.device, step: int) -> torch.Generator:
        """The random stream of a step."""
        return torch.Generator(device).manual_seed((self.seed * PRIME + step) % 2**32)  # a CPU's takes 32 bits


class Probe(TorchFunctionMode):
    """Within it `loss.backward()` also estimates the curvature, of each piece of an accumulated batch."""

    wanted = ""

    def __init__(self, params: list[Tensor]) -> None:
        super().__init__()
        self.params, self.called = params, False
        self.sums = [torch.zeros_like(p) for p in params]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.backward and self.ready():
            self.called = True
            self.look(args[0])
        return self.noted(func, args, kwargs, func(*args, **(kwargs or {})))

    def ready(self) -> bool:
        """Whether there is what an estimate needs."""
        return True

    def noted(self, func: Any, args: Any, kwargs: Any, result: Any) -> Any:
        """The result of any function that the closure calls; a subclass may remember it."""
        return result

    def look(self, loss: Tensor) -> None:
        """Add a piece's estimate to `sums`."""
        raise NotImplementedError

    def results(self) -> list[Tensor]:
        """The estimates."""
        return self.sums

    def add(self, outputs: Sequence[Tensor], weights: Sequence[Tensor] | None, factor: float = 1.0) -> list[Tensor]:
        """Gradients of the outputs, zero where a parameter has none."""
        found = torch.autograd.grad(
            outputs, self.params, grad_outputs=weights, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return [factor * x for x in found]


class hutchinson(_Curvature):
    """z (H z), z of entries 1 and -1 ("rademacher") or normal."""

    def __init__(self, update_period: int = 1, distribution: str = "rademacher", seed: int = 0) -> None:
        super().__init__(update_period, seed)
        check("distribution", distribution, ("rademacher", "normal"))
        self.distribution = distribution

    def probe(self, params: list[Tensor], step: int) -> "Probe":
        generators = {p.device: self.generator(p.device, step) for p in params}
        return _HessianProbe(params, [self._draw(p, generators[p.device]) for p in params])

    def _draw(self, p: Tensor, generator: torch.Generator) -> Tensor:
        options: dict[str, Any] = {"generator": generator, "device": p.device, "dtype": p.dtype}
        if self.distribution == "normal":
            return torch.randn(p.shape, **options)
        return torch.randint(0, 2, p.shape, **options) * 2 - 1


class _HessianProbe(Probe):
    def __init__(self, params: list[Tensor], directions: list[Tensor]) -> None:
        super().__init__(params)
        self.directions = directions

    def look(self, loss: Tensor) -> None:
        first = torch.autograd.grad(loss, self.params, create_graph=True, allow_unused=True)
        curved = [(g, z) for g, z in zip(first, self.directions, strict=True) if g is not None and g.requires_grad]
        if curved:
            second = self.add([g for g, _ in curved], [z for _, z in curved])
            torch._foreach_add_(self.sums, [z * hz for z, hz in zip(self.directions, second, strict=True)])


class gauss_newton(_Curvature):
    """B ghat^2, ghat the gradient at labels drawn from the net's distribution (Gauss-Newton-Bartlett)."""

    def probe(self, params: list[Tensor], step: int) -> "Probe":
        return _SampledProbe(params, self.generator(params[0].device, step))


class _SampledProbe(Probe):
    wanted = " on a loss of torch.nn.functional.cross_entropy; other losses need estimator='hutchinson'"

    def __init__(self, params: list[Tensor], generator: torch.Generator) -> None:
        super().__init__(params)
        self.generator, self.logits, self.count = generator, None, 0

    def ready(self) -> bool:
        return self.logits is not None

    def noted(self, func: Any, args: Any, kwargs: Any, result: Any) -> Any:
        if func is cross_entropy:
            self.logits = args[0] if args else kwargs["input"]
        return result

    def look(self, loss: Tensor) -> None:
        logits: Any = self.logits
        rows = logits.movedim(1, -1).flatten(0, -2) if logits.ndim > 1 else logits[None]
        with torch.no_grad():
            drawn = torch.multinomial(rows.float().softmax(-1), 1, generator=self.generator)[:, 0]
        torch._foreach_add_(self.sums, self.add([cross_entropy(rows, drawn, reduction="sum")], None))
        self.count, self.logits = self.count + len(rows), None

    def results(self) -> list[Tensor]:
        return [x * x / self.count for x in self.sums]


class _Diagonal(Stage):
    """A stage with a running mean `hessian` of what the evaluation estimates; it moves where there is an estimate."""

    zeros = ("exp_avg", "hessian")
    ranges: ClassVar[Ranges] = {"betas": BETAS}

    def prepare(self, chain: Chain, buckets: Sequence[Bucket]) -> None:
        if not isinstance(chain.evaluation, _Curvature):
            raise RuntimeError(f"{self.name} needs evaluation=hutchinson or gauss_newton")
        for group in chain.param_groups:
            sign = -1.0 if group["maximize"] else 1.0
            for p in group["params"]:
                estimate = chain.evaluation.estimates.pop(p, None)
                if estimate is not None and p in chain.state:
                    mean = chain.state[p][f"{self.name}.hessian"]
                    mean.lerp_(self.measured(sign * estimate.to(mean.dtype)), 1 - float(group["betas"][1]))

    def measured(self, estimate: Tensor) -> Tensor:
        """What the mean is of."""
        return estimate

    def scalars(self, hyper: Mapping[str, Any], step: int) -> dict[str, float]:
        beta1, beta2 = (float(beta) for beta in hyper["betas"])
        rest = {key: float(hyper[key]) for key in self.hyper if key != "betas"}
        return {"new1": 1 - beta1, "mean": 1 / (1 - beta1**step), "root": 1 / math.sqrt(1 - beta2**step), **rest}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        m, h = bucket.buffers(self, "exp_avg", "hessian")
        blend_(m, updates, bucket.scalar(self, "new1"))
        return self.divided(bucket, m, h)

    def divided(self, bucket: Bucket, m: list[Tensor], h: list[Tensor]) -> list[Tensor]:
        """The update of m and the curvature."""
        raise NotImplementedError


class adahessian(_Diagonal):
    """The update of `AdaHessian`, after the evaluation `hutchinson`."""

    name = "adahessian"
    ranges: ClassVar[Ranges] = {"betas": BETAS, "eps": "[0, inf)", "hessian_power": "[0, 1]"}

    def __init__(self, betas: Betas = (0.9, 0.999), eps: float = 1e-4, hessian_power: float = 1.0) -> None:
        super().__init__(betas=betas, eps=eps, hessian_power=hessian_power)

    def measured(self, estimate: Tensor) -> Tensor:
        size = estimate.abs()
        if size.ndim == 4:
            size = size.mean((2, 3), keepdim=True).expand_as(size)
        return size * size

    def divided(self, bucket: Bucket, m: list[Tensor], h: list[Tensor]) -> list[Tensor]:
        numbers = zip(*(bucket.scalar(self, key) for key in ("mean", "root", "hessian_power", "eps")), strict=True)
        entries = zip(m, h, numbers, strict=True)
        return [x * mean / ((v.sqrt() * root) ** k + eps) for x, v, (mean, root, k, eps) in entries]


class sophia(_Diagonal):
    """The update of `Sophia`, after the evaluation `gauss_newton` or `hutchinson`."""

    name = "sophia"
    ranges: ClassVar[Ranges] = {"betas": BETAS, "eps": "(0, inf)", "gamma": "(0, inf)"}

    def __init__(self, betas: Betas = (0.965, 0.99), eps: float = 1e-12, gamma: float = 0.05) -> None:
        super().__init__(betas=betas, eps=eps, gamma=gamma)

    def divided(self, bucket: Bucket, m: list[Tensor], h: list[Tensor]) -> list[Tensor]:
        numbers = zip(bucket.scalar(self, "gamma"), bucket.scalar(self, "eps"), strict=True)
        entries = zip(m, h, numbers, strict=True)
        return [(x / (v * gamma).clamp(min=eps)).clamp(-1, 1) for x, v, (gamma, eps) in entries]


def _over_ranks(x: Tensor) -> Tensor:
    """The mean over data-parallel ranks."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(x)
        x /= distributed.get_world_size()
    return x
