"""The diagonal of the curvature, estimated in the closure's own backward pass: evaluations for second-order methods."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, distributed
from torch.nn.functional import cross_entropy
from torch.overrides import TorchFunctionMode

from .chain import Chain
from .stages.base import Closure, Evaluation
from .stages.keywords import Count, In, Seed

PRIME = 2_654_435_761  # spreads seeds over the 32 bits

Period = Annotated[Count, "steps between two estimates of the curvature, whose mean moves with them"]
Distribution = Annotated[str, In(("rademacher", "normal"))]


class Curvature(Evaluation):
    """Takes the gradient once, and every `period` steps an estimate of the curvature's diagonal with it.

    The stage that follows finds it in `estimates`. Random numbers depend on seed and step alone, so that a resumed run
    draws the same.
    """

    name = "curvature"
    uncapturable = "its random numbers are drawn anew by the count"
    needs_closure = True

    def __init__(self, update_period: Period = 1, seed: Seed = 0) -> None:
        super().__init__()
        self.check_constants(update_period=update_period, seed=seed)
        self.period, self.seed = update_period, seed
        self.estimates: dict[Tensor, Tensor] = {}

    def gradients(self, chain: Chain, closure: Closure) -> Any:
        step = max((int(state["step"]) for state in chain.state.values()), default=0)
        self.estimates = {}
        if step % self.period:
            return super().gradients(chain, closure)
        params = [p for group in chain.param_groups for p in group["params"] if p.requires_grad]
        if any(hasattr(p, "full_tensor") for p in params):
            raise RuntimeError(f"{type(chain).__name__} takes whole tensors, not DTensors (FSDP2)")
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


class hutchinson(Curvature):
    """z (H z), z of entries 1 and -1 ("rademacher") or normal."""

    def __init__(self, update_period: Period = 1, distribution: Distribution = "rademacher", seed: Seed = 0) -> None:
        super().__init__(update_period, seed)
        self.check_constants(distribution=distribution)
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


class gauss_newton(Curvature):
    """B ghat^2, ghat the gradient at labels drawn from the net's distribution (Gauss-Newton-Bartlett)."""

    needs_cross_entropy = True

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


def _over_ranks(x: Tensor) -> Tensor:
    """The mean over data-parallel ranks."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(x)
        x /= distributed.get_world_size()
    return x
