"""Shampoo (Gupta et al. 2018) and SOAP (Vyas et al. 2024): a preconditioner for each dimension of a tensor.

Each raises ValueError, one line, for a value out of range.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Unpack

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .chain import Chain, Options
from .rmsgd import whole
from .stages.base import Bucket, Numbers, Stage, Step
from .stages.keywords import Betas, Count, In, Momentum, Positive, Rate, WeightDecay
from .stages.lists import add_product_, blend_, is_sharded
from .stages.moments import heavy_ball

LARGEST = 10_000  # as in SOAP's code
Frequency = Annotated[Count, "steps between two computations of the roots, or the bases"]
Epsilon = Annotated[Positive, "epsilon"]
Largest = Annotated[Count, "longest dimension that gets a preconditioner"]
ShampooBeta = Annotated[float | None, In("[0, 1)"), "b; None: beta_2"]


class Shampoo(Chain, decay="coupled"):
    """Shampoo: L_i <- L_i + G_i G_i^T for each dimension i of k, G_i the gradient unfolded along it, from L_i = eps I;
    w <- w - lr b, b the momentum of the gradient times L_i^(-1/2k) along each i.

    References: Gupta et al. 2018 (arXiv 1802.09568), Algorithm 2. The authors' code is for TensorFlow; lr, eps and no
    momentum are those of the common PyTorch port, which mixes momentum into the gradient.

        >>> optimizer = Shampoo(model.parameters(), lr=0.1, momentum=0.9, precondition_frequency=20)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 0.1,
        momentum: Annotated[Momentum, "of the preconditioned gradient"] = 0.0,
        weight_decay: WeightDecay = 0.0,
        eps: Epsilon = 1e-4,
        precondition_frequency: Frequency = 1,
        max_precondition_dim: Largest = LARGEST,
        **options: Unpack[Options],
    ) -> None:
        stages = (shampoo(eps, precondition_frequency, max_precondition_dim), heavy_ball(momentum))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class SOAP(Chain):
    """SOAP: AdamW in the eigenbasis of Shampoo's preconditioners: u = Q (mhat' / (sqrt(vhat') + eps)), m' = Q^T m.

    Along each dimension i: L_i <- b L_i + (1 - b) G_i G_i^T after the step, Q_i its eigenvectors, at first exactly,
    then every `precondition_frequency` steps by one step of power iteration and QR. v is that of Q^T g. The first
    gradient makes the bases and moves nothing. Vectors and scalars get Adam, one step late as well.

    References: Vyas et al. 2024 (arXiv 2409.11321), Algorithms 3 and 4, and the authors' code. (Theirs decays after
    the step, and computes QR in float32.)

        >>> optimizer = SOAP(model.parameters(), lr=3e-3)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Rate = 3e-3,
        betas: Betas = (0.95, 0.95),
        shampoo_beta: ShampooBeta = None,
        eps: Epsilon = 1e-8,
        weight_decay: WeightDecay = 0.01,
        precondition_frequency: Frequency = 10,
        max_precondition_dim: Largest = LARGEST,
        **options: Unpack[Options],
    ) -> None:
        stages = (soap(betas, shampoo_beta, eps, precondition_frequency, max_precondition_dim),)
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class _Preconditioned(Stage):
    """A stage with a matrix `statistics<i>` for each dimension i that is not too long, and another made of it."""

    made: str  # the other's name
    vectors: bool  # whether a vector has one

    def __init__(self, precondition_frequency: Frequency, max_precondition_dim: Largest, **hyper: Any) -> None:
        super().__init__(**hyper)
        self.check_constants(precondition_frequency=precondition_frequency, max_precondition_dim=max_precondition_dim)
        self.frequency, self.largest = precondition_frequency, max_precondition_dim

    def dimensions(self, x: Tensor) -> list[int]:
        """Which dimensions of a tensor have a preconditioner."""
        return [i for i, n in enumerate(x.shape) if n <= self.largest and (x.ndim > 1 or self.vectors)]

    def matrices(self, x: Tensor, diagonal: float) -> dict[str, Tensor]:
        """The buffers of a tensor: diagonal times I, and I. Of a sharded one each rank has them whole."""
        eyes = {i: torch.eye(x.shape[i], dtype=x.dtype, device=x.device) for i in self.dimensions(x)}
        return {f"statistics{i}": diagonal * eye for i, eye in eyes.items()} | {
            f"{self.made}{i}": eye for i, eye in eyes.items()
        }

    def pairs(self, x: Tensor, state: dict[str, Tensor]) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Each dimension with its statistics and what is made of them."""
        for i in self.dimensions(x):
            yield i, state[f"{self.name}.statistics{i}"], state[f"{self.name}.{self.made}{i}"]

    def applied(self, x: Tensor, state: dict[str, Tensor], transposed: bool = False) -> Tensor:
        """x times each matrix along its dimension."""
        turned = whole(x)
        for i, _, matrix in self.pairs(x, state):
            turned = torch.tensordot(matrix if not transposed else matrix.mT, turned, dims=([1], [i])).movedim(0, i)
        return sharded_as(x, turned)


def gram(x: Tensor, i: int) -> Tensor:
    """G_i G_i^T, from all ranks where G is sharded."""
    unfolded = whole(x).movedim(i, 0).reshape(x.shape[i], -1)
    return unfolded @ unfolded.mT


def sharded_as(other: Tensor, x: Tensor) -> Tensor:
    """x, which all ranks have, shared out among them as `other` is."""
    if not is_sharded(other):
        return x
    from torch.distributed.tensor import DTensor, distribute_tensor  # takes seconds, and is loaded where `other` is

    assert isinstance(other, DTensor)
    return distribute_tensor(x, other.device_mesh, other.placements, src_data_rank=None)


class shampoo(_Preconditioned):
    """The preconditioned gradient of `Shampoo`; its statistics are those of the raw gradient (plus coupled decay)."""

    name = "shampoo"
    uncapturable = "its roots are taken when the count says so, and torch.linalg.eigh waits"
    made = "root"
    vectors = True

    def __init__(
        self, eps: Positive = 1e-4, precondition_frequency: Frequency = 1, max_precondition_dim: Largest = LARGEST
    ) -> None:
        super().__init__(precondition_frequency, max_precondition_dim)
        self.check_constants(eps=eps)
        self.eps = eps

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        return self.matrices(param, self.eps)

    def prepare(self, chain: Chain, buckets: Sequence[Bucket]) -> None:
        for bucket in buckets:
            for g, state in zip(bucket.coupled(), bucket.states, strict=True):
                due = (int(state["step"]) - 1) % self.frequency == 0
                for i, statistics, root in self.pairs(g, state):
                    statistics += gram(g, i)
                    if due:
                        root.copy_(_power(statistics, -1 / (2 * g.ndim)))

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        return [self.applied(u, state) for u, state in zip(updates, bucket.states, strict=True)]


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A symmetric matrix to a power; nan where it is not finite, which eigh does not take."""
    finite = matrix.isfinite().all()
    values, vectors = torch.linalg.eigh(torch.where(finite, matrix, 0))
    smallest = torch.finfo(values.dtype).tiny
    root = (vectors * values.clamp(min=smallest) ** exponent) @ vectors.mT
    return torch.where(finite, root, math.nan)


class soap(_Preconditioned):
    """The update of `SOAP`."""

    name = "soap"
    uncapturable = "its bases are taken when the count says so, and torch.linalg.eigh waits"
    made = "basis"
    vectors = False
    traced = False

    def __init__(
        self,
        betas: Betas = (0.95, 0.95),
        shampoo_beta: ShampooBeta = None,
        eps: Epsilon = 1e-8,
        precondition_frequency: Frequency = 10,
        max_precondition_dim: Largest = LARGEST,
    ) -> None:
        super().__init__(precondition_frequency, max_precondition_dim, betas=betas, eps=eps)
        if shampoo_beta is not None:
            self.check_constants(shampoo_beta=shampoo_beta)
        self.shampoo_beta = shampoo_beta

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        zeros = {name: torch.zeros_like(param) for name in ("exp_avg", "exp_avg_sq")}
        return zeros | self.matrices(param, 0.0)

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        beta1, beta2 = (float(beta) for beta in hyper["betas"])
        on, count = float(step > 1), max(step - 1, 1)
        gain = math.sqrt(1 - beta2**count) / (1 - beta1**count)
        shampoo_beta = beta2 if self.shampoo_beta is None else self.shampoo_beta
        news = {"new1": on * (1 - beta1), "new2": on * (1 - beta2), "keep2": 1 - on * (1 - beta2)}
        return {**news, "gain": on * gain, "on": on, "eps": float(hyper["eps"]), "new": 1 - shampoo_beta}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        m, v = bucket.buffers(self, "exp_avg", "exp_avg_sq")
        turned = [self.applied(u, s, transposed=True) for u, s in zip(updates, bucket.states, strict=True)]
        blend_(m, updates, bucket.scalar(self, "new1"))
        torch._foreach_mul_(v, bucket.scalar(self, "keep2"))
        add_product_(v, turned, turned, bucket.scalar(self, "new2"))
        bucket.decay_scale = [d * on for d, on in zip(bucket.decay_scale, bucket.scalar(self, "on"), strict=True)]
        numbers = zip(bucket.scalar(self, "eps"), bucket.scalar(self, "gain"), strict=True)
        scaled = [
            self.applied(a, state, transposed=True) / (b.sqrt() + eps) * gain
            for a, b, state, (eps, gain) in zip(m, v, bucket.states, numbers, strict=True)
        ]
        return [self.applied(u, state) for u, state in zip(scaled, bucket.states, strict=True)]

    def after_step(self, bucket: Bucket, before: list[Tensor]) -> list[Tensor] | None:
        """Take the gradients into the statistics; new bases when they are due."""
        for g, state, new in zip(bucket.grads, bucket.states, bucket.scalar(self, "new"), strict=True):
            step = int(state["step"]) - 1
            for i, statistics, basis in self.pairs(g, state):
                statistics.lerp_(gram(g, i), float(new))
                if step == 0:
                    finite = statistics.isfinite().all()  # where not, the weights show it already
                    vectors = torch.linalg.eigh(torch.where(finite, statistics, 0))[1]
                    basis.copy_(torch.where(finite, vectors.flip(1), basis))
                elif step % self.frequency == 0:
                    self._iterate(i, statistics, basis, state[f"{self.name}.exp_avg_sq"])
        return None

    @staticmethod
    def _iterate(i: int, statistics: Tensor, basis: Tensor, v: Tensor) -> None:
        """One step of power iteration, its vectors sorted by their eigenvalues, and v with them."""
        finite = statistics.isfinite().all()
        product = torch.where(finite, statistics, 0) @ basis
        order = (basis * product).sum(0).argsort(descending=True)
        v.copy_(sharded_as(v, torch.where(finite, whole(v).index_select(i, order), whole(v))))
        basis.copy_(torch.where(finite, torch.linalg.qr(product.index_select(1, order))[0], basis))
