"""Rank momentum: a rate for each tensor, moved at the end of an epoch by the growth of its stable rank (RMSGD)."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor, distributed
from torch.optim.optimizer import ParamsT

from .chain import LONGEST_EPOCH, Chain, Options
from .evbmf import SCALES, analyse
from .stages.base import Bucket, Numbers, Ranges, Stage, Step
from .stages.keywords import In, Momentum, NotNegative, Positive, Share, WeightDecay
from .stages.moments import heavy_ball


class Variant(NamedTuple):
    """What the paper and the two releases of its code do differently (see `RMSGD`)."""

    start: float  # eta before the first epoch's end, in units of lr
    floor: float
    released: bool  # the two releases: lr for the first increment, and a layer that has yet no structure keeps lr
    package: bool  # it keeps lr exactly, whatever zeta; gamma scales eta as well
    small_kernels: bool  # are kernels of height or width 1 analysed
    inside: bool  # does momentum accumulate rate * gradient, or is the rate applied to the momentum


STABLE_RANK = {1: "code_stable_rank", 2: "stable_rank"}  # of optim.evbmf.Spectrum, by the power p
VARIANTS = {
    "text": Variant(1.0, 0.0, released=False, package=False, small_kernels=True, inside=True),
    "paper_branch": Variant(0.0, 1e-10, released=True, package=False, small_kernels=False, inside=False),
    "package": Variant(1.0, 0.0, released=True, package=True, small_kernels=True, inside=False),
}
Which = Annotated[str, In(tuple(VARIANTS)), '"paper_branch", "text" or "package"']
RateDecay = Annotated[Share, "decay of the rate"]
Gain = Annotated[NotNegative, "gain of the rate"]
Power = Annotated[int, "power of the singular values in s: 1 was run, 2 is printed (Eq. 2)"]
Linear = Annotated[bool, "analyse matrices too"]
Scale = Annotated[str, In(SCALES), '"official" or "rescaled" (see `optim.evbmf.evbmf`)']
StepSize = Annotated[int, In("[0, inf)"), "epochs after which zeta shrinks by gamma; 0: never"]
GainDecay = Annotated[float, In("(0, 1]"), "that factor"]


class RMSGD(Chain, decay="coupled"):
    """RMSGD: SGD whose rate of each tensor is eta <- beta eta + zeta (s_t - s_(t-1)) after epoch t, with s_0 = 0.

    s is the stable rank of the tensor's low-rank structure (`optim.evbmf.analyse`). Kernels of 4 dims are analysed,
    with `linear` matrices too; every other tensor has the rate of the one before it, in the order of the param groups.
    A step's rate is eta lr / lr_0, so that a schedule scales it; until the first epoch's end it is lr. Decay is
    coupled (L2). Call `epoch_end()` at the end of each training epoch: without, this is SGD. With torch.distributed,
    rank 0 computes the stable ranks for all. A weight that is not finite keeps its last s.

    Variants: "text": as above, from eta = lr, eta inside the momentum (v <- alpha v - eta g). "paper_branch" (made
    the tables): from eta = 0 with lr for the first increment; floor 1e-10; kernels with a side of 1 are not
    analysed; a layer whose s is still 0 gets lr - beta eta for its increment. "package" (release 1.0.2): from
    eta = lr with lr again for the first increment; that of a layer still at 0 is (lr - beta eta) / zeta; gamma scales
    eta as well. Both have eta outside the momentum. (Their loop over layers still at 0 skips some: ours does not.)

    References: Hosseini, Tuli, Plataniotis: Exploiting Explainable Metrics for Augmented SGD, CVPR 2022, Algorithm 1.
    Raises ValueError for a value out of range.

        >>> optimizer = RMSGD(model.parameters(), lr=0.03, weight_decay=5e-4)
        >>> optimizer.epoch_end()  # after the steps of each epoch
    """

    def __init__(
        self,
        params: ParamsT,
        lr: Annotated[Positive, "the first rate"] = 0.03,
        momentum: Annotated[Momentum, "alpha of SGD"] = 0.9,
        beta: RateDecay = 0.98,
        zeta: Gain = 1.0,
        weight_decay: WeightDecay = 0.0,
        variant: Which = "paper_branch",
        p: Power = 1,
        linear: Linear = False,
        evbmf_scale: Scale = "official",
        step_size: StepSize = 0,
        gamma: GainDecay = 1.0,
        **options: Unpack[Options],
    ) -> None:
        rates = rank_rates(beta, zeta, variant, p, linear, evbmf_scale, step_size, gamma)
        stages = (rates, heavy_ball(momentum))
        super().__init__(params, stages, lr=lr, weight_decay=weight_decay, **options)


class rank_rates(Stage):
    """The rates of `RMSGD`, where formula and variants are, over any momentum."""

    name = "rank"
    ranges: ClassVar[Ranges] = {"lr": "(0, inf)"}

    def __init__(
        self,
        beta: RateDecay = 0.98,
        zeta: Gain = 1.0,
        variant: Which = "paper_branch",
        p: Power = 1,
        linear: Linear = False,
        evbmf_scale: Scale = "official",
        step_size: StepSize = 0,
        gamma: GainDecay = 1.0,
    ) -> None:
        super().__init__(beta=beta, zeta=zeta, step_size=step_size, gamma=gamma)
        self.check_constants(variant=variant, evbmf_scale=evbmf_scale)
        if p not in STABLE_RANK:
            raise ValueError(f"p={p!r} is not allowed: choose 1 or 2")
        self.variant, self.linear, self.evbmf_scale = VARIANTS[variant], linear, evbmf_scale
        self.reading = STABLE_RANK[p]

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        """`rate`: eta / lr_0 as applied; `eta`: the recursion's own, in the same unit; `s`: the last stable rank."""
        values = {"rate": 1.0, "eta": self.variant.start, "s": 0.0, "ready": 0.0, "epoch": 0.0}
        return {key: torch.tensor(value, dtype=param.dtype, device=param.device) for key, value in values.items()}

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        return {}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        (rates,) = bucket.buffers(self, "rate")
        if self.variant.inside:
            return [update * rate for update, rate in zip(updates, rates, strict=True)]
        bucket.rate_scale = [*rates]
        return updates

    def epoch_end(self, chain: Chain) -> None:
        entries = self.entries(chain)
        ranks = self.stable_ranks([param for param, _, _ in entries])
        rate: Tensor | None = None
        for (_, state, group), s in zip(entries, ranks, strict=True):
            if s is not None:
                self.advance(state, group, s)
            elif rate is not None:
                state["rank.rate"].copy_(rate)
            rate = state["rank.rate"]

    def switched_off(self, chain: Chain) -> str | None:
        if chain.steps_taken < LONGEST_EPOCH or any(float(s["rank.epoch"]) for _, s, _ in self.entries(chain)):
            return None
        return (
            f"{LONGEST_EPOCH} steps without epoch_end(), which is to be called after each epoch: until then it is SGD"
        )

    def entries(self, chain: Chain) -> list[tuple[Tensor, dict[str, Tensor], dict[str, Any]]]:
        """The tensors that have been stepped, in order, with state and group."""
        pairs = [(param, group) for group in chain.param_groups for param in group["params"]]
        return [(param, chain.state[param], group) for param, group in pairs if param in chain.state]

    def stable_ranks(self, params: list[Tensor]) -> list[float | None]:
        """s of each tensor, None for those not analysed; computed by rank 0 and sent to all."""
        chosen = [self.is_analysed(param) for param in params]
        weights = [whole(param) for param, yes in zip(params, chosen, strict=True) if yes]
        shared = distributed.is_available() and distributed.is_initialized()
        s = torch.zeros(len(weights), dtype=torch.float64)
        if not shared or distributed.get_rank() == 0:
            s = torch.tensor([getattr(analyse(w, self.evbmf_scale), self.reading) for w in weights], dtype=s.dtype)
        if shared and weights:
            sent = s.to(weights[0].device)
            distributed.broadcast(sent, 0)
            s = sent.cpu()
        found = iter(s.tolist())
        return [next(found) if yes else None for yes in chosen]

    def is_analysed(self, param: Tensor) -> bool:
        """Whether the variant looks at tensors of this form."""
        if param.ndim == 2:
            return self.linear
        return param.ndim == 4 and (self.variant.small_kernels or min(param.shape[2:]) > 1)

    def advance(self, state: dict[str, Tensor], group: Mapping[str, Any], s: float) -> None:
        """One epoch of the recursion, with lr_0 for the unit of eta: so an increment of s is divided by it."""
        eta, last, epoch = (float(state[f"rank.{key}"]) for key in ("eta", "s", "epoch"))
        s = last if math.isnan(s) else s
        beta, gamma, every = float(group["beta"]), float(group["gamma"]), int(group["step_size"])
        zeta = float(group["zeta"]) * (gamma ** (epoch // every) if every else 1.0)
        shrink = gamma if self.variant.package and every and epoch and epoch % every == 0 else 1.0
        increment = zeta * (s - last) / float(group["lr_0"])
        if self.variant.released and not epoch:
            increment = zeta
        elif self.variant.released and self.waits(state, s):
            increment = (1 - beta * eta) * (shrink if self.variant.package else zeta)
        eta = max(beta * eta * shrink + increment, self.variant.floor / float(group["lr_0"]))
        for key, value in {"eta": eta, "rate": eta, "s": s, "epoch": epoch + 1}.items():
            state[f"rank.{key}"].fill_(value)

    @staticmethod
    def waits(state: dict[str, Tensor], s: float) -> bool:
        """Has the layer had no structure ever since the second epoch; one that had some never waits again."""
        if abs(s) > 1e-8:
            state["rank.ready"].fill_(1.0)
        return not bool(state["rank.ready"])

    def metrics(self, chain: Chain) -> dict[str, float]:
        """The smallest, mean and largest rate eta, the mean stable rank s of the analysed tensors that have structure,
        nan without any, and how many have none.
        """
        entries = self.entries(chain)
        rates = torch.tensor([float(state["rank.rate"]) * group["lr_0"] for _, state, group in entries])
        ranks = torch.tensor([float(state["rank.s"]) for p, state, _ in entries if self.is_analysed(p)])
        if not len(ranks):
            return {}
        found = ranks[ranks > 0]
        low, mean, high = (float(value) for value in (rates.min(), rates.mean(), rates.max()))
        counts = {"stable_rank": float(found.mean()), "without_structure": float(len(ranks) - len(found))}
        return {"rate_min": low, "rate_mean": mean, "rate_max": high, **counts}


def whole(weight: Tensor) -> Tensor:
    """The weight, gathered from all ranks where it is sharded."""
    gather = getattr(weight, "full_tensor", None)  # a DTensor's: to import that class takes 3 s
    return weight if gather is None else gather()
