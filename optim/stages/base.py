"""How to write a stage: the complete guide.

A stage is one idea of an optimizer: a moment, a projection, a norm. `Chain` runs a tuple of stages, then applies
the step:

    for stage in stages: stage.prepare(chain, buckets)
    updates = gradients                              (negated for maximize; plus weight_decay * w for coupled decay)
    for stage in stages: updates = stage.update(bucket, updates)
    w <- w * (1 - lr * weight_decay * decay_scale)   (decoupled; `absolute` has lr / lr_0 in the place of lr)
    w <- w - lr * rate_scale * updates               (or the `retract` of a stage)
    for stage in stages: stage.after_step(bucket, before)

A stage is a subclass of `Stage` with a `name` and an `update`; its other methods and attributes are optional. Its
`__init__` calls `super().__init__(**hyper)` with the hyper-parameters, under their public names. They live in the
param groups, are checked as the annotations of `__init__` say (`optim/stages/keywords.py`), and are read again at every
step. Two stages may share one (`eps`) if they give it the same value. A constant that belongs to no param group may be
an ordinary attribute; `check_constants` checks it.

In `update`, `retract` and `after_step` a `Bucket` gives lists of equal length and order, one entry a tensor:

    bucket.params, bucket.grads             the weights and the raw gradients (never coupled with decay); read only
    bucket.buffers(self, "m", "v")          the stage's buffers, a list each; these may be written in place
    bucket.scalar(self, "bias")             what `scalars` returned: floats, or 0-d tensors when compiled or captured
    bucket.options["invariance"]            the group's strings and switches (not its numbers)
    bucket.spare(update)                    the update where it may be written over (`out=`), else None
    bucket.decay_scale, bucket.rate_scale   factors of the tensor's decay and rate, 1.0 at first; set them per entry
                                            to a float or a 0-d tensor. Coupled decay comes before all stages and
                                            has no scale.

Rules. Never write into `updates`, `params` or `grads` (an update may be a gradient or another stage's buffer:
return new tensors, or those of `bucket.spare`, and keep none, since the next stage may spare it too); your own
buffers you may. No `if` on a tensor's value: `torch.where`. Lists go through `torch._foreach_*`, whose list of scalars
may be `bucket.scalar(...)`, through `optim.stages.lists`, or through a comprehension; with lists of one, the usual case
on a CPU, all cost the same. `compile=True` traces this very code, except for `after_step` of a stage with
`traced = False`: that one sees floats in `bucket.scalar(...)` and may branch on them.

With `capturable=True` the count that `scalars` is given is a tensor, and so may be `hyper["lr"]`: take roots and
choices by `root`, `clip` and `either` of `optim.stages.lists`, which know floats and tensors. A stage that cannot, or
that reads from the device, says why in `uncapturable`.

An `Evaluation` is the other slot: where and how often the gradient is taken (once, SAM's twice, a line search).
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from .keywords import Allowed, ranges

if TYPE_CHECKING:
    from ..chain import Chain

Scalar = float | Tensor
Numbers = dict[str, Scalar]
COUNT = torch.float64  # of the step counts: a tensor, as torch's; a float32 no longer changes at 2^24
Step = int | Tensor  # of steps: one number, or a tensor of one for each tensor of a bucket (`capturable`)
Closure = Callable[[], Any]
Ranges = Mapping[str, Allowed]


@dataclass
class Bucket:
    """Tensors of one param group, dtype and device that are stepped together (see the module's guide)."""

    params: list[Tensor]
    grads: list[Tensor]
    states: list[dict[str, Tensor]]
    scalars: list[dict[str, Scalar]]
    options: Mapping[str, Any]
    decay_scale: list[Scalar] = field(init=False)
    rate_scale: list[Scalar] = field(init=False)

    def __post_init__(self) -> None:
        self.decay_scale = [1.0] * len(self.params)
        self.rate_scale = [1.0] * len(self.params)

    def coupled(self) -> list[Tensor]:
        """The gradients, with weight_decay * w added to them where decay is coupled."""
        if self.options["decay"] != "coupled":
            return self.grads
        decays: Any = [scalars["chain.l2"] for scalars in self.scalars]
        updates = list(torch._foreach_mul(self.params, decays))
        torch._foreach_add_(updates, self.grads)
        return updates

    def buffers(self, stage: Hyper, *names: str) -> tuple[list[Tensor], ...]:
        """The stage's buffers of these names, one list of tensors each."""
        return tuple([state[f"{stage.name}.{name}"] for state in self.states] for name in names)

    def scalar(self, stage: Hyper, name: str) -> Any:
        """One number a tensor, from `stage.scalars`: a list of floats (of 0-d tensors when compiled)."""
        return [scalars[f"{stage.name}.{name}"] for scalars in self.scalars]

    def spare(self, update: Tensor) -> Tensor | None:
        """The update, to be written over by `out=`; None where it is a gradient, a buffer or no plain tensor.

        Fresh memory costs more than a pass over it where two tensors' worth is taken at once: the allocator then
        gives it back to the system after each step, and all its pages fault again (LAMB's step on a CPU: 64 -> 35 ms).
        """
        if type(update) is not Tensor or torch.compiler.is_compiling():  # a sharded one has no memory of its own
            return None
        memory = update.untyped_storage()
        whole = memory.nbytes() == update.nbytes  # not so where it is a row repeated, or one of several views
        return update if whole and memory.data_ptr() not in self._places else None

    @cached_property
    def _places(self) -> set[int]:
        """Where the memory of weights, gradients and buffers begins."""
        kept = [*self.params, *self.grads, *[buffer for state in self.states for buffer in state.values()]]
        return {x.untyped_storage().data_ptr() for x in kept}


class Hyper:
    """Something with hyper-parameters that live in param groups: a stage or an evaluation.

    Attributes:
        name: buffers are kept as `<name>.<buffer>`; unique in a chain.
        ranges: what is allowed of numbers beside what the annotations of `__init__` say, as in `keywords.In`.
        uncapturable: why a step with it cannot be captured in a CUDA graph; nothing where it can.
    """

    name: str = ""
    uncapturable: ClassVar[str] = ""
    ranges: ClassVar[Ranges] = {}
    annotated: ClassVar[Ranges] = {}

    def __init_subclass__(cls) -> None:
        if "__init__" in vars(cls):
            cls.annotated = {**cls.annotated, **ranges(cls)}

    def __init__(self, **hyper: Any) -> None:
        self.hyper = hyper

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise a ValueError of one line if a value of the group is out of range."""
        annotated = {key: allowed for key, allowed in self.annotated.items() if key in self.hyper}
        for key, allowed in {**annotated, **self.ranges}.items():
            check(key, group[key], allowed)

    def check_constants(self, **values: Any) -> None:
        """Raise a ValueError of one line if one of these is not what the signature allows."""
        for key, value in values.items():
            check(key, value, self.annotated[key])


class Stage(Hyper):
    """One link of a chain (see the module's guide).

    Attributes:
        zeros: names of buffers that start at 0 and have the form of the weight.
        traced: whether `after_step` is compiled with the rest; if not, it gets no `before`.
        needs_before: whether `after_step` needs the weights from before the step.
    """

    zeros: tuple[str, ...] = ()
    traced: bool = True
    needs_before: bool = False

    def named(self, name: str) -> Self:
        """Return a copy with another name."""
        other = copy.copy(self)
        other.name = name
        return other

    def init(self, param: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the buffers of one tensor, by name, nothing but tensors; by default those of `zeros`.

        `param` is a float32 copy where the weights are half precision, so `zeros_like(param)` is always right.
        """
        return {name: torch.zeros_like(param) for name in self.zeros}

    def scalars(self, hyper: Mapping[str, Any], step: Step) -> Numbers:
        """Return the numbers that depend on hyper-parameters and the tensor's step count (from 1) alone.

        Bias corrections and schedules go here, with any Python `if`; public numbers reach `update` this way only. By
        default: the stage's own numbers.
        """
        return {key: float(hyper[key]) for key, value in self.hyper.items() if _is_number(value)}

    def update(self, bucket: Bucket, updates: list[Tensor]) -> list[Tensor]:
        """Return the new updates."""
        return updates

    def retract(self, bucket: Bucket, steps: list[Tensor]) -> list[Tensor] | None:
        """Return the new weights for a move by -steps, where the method moves on a manifold; None: w - step.

        The first stage that returns a list wins.
        """
        return None

    def after_step(self, bucket: Bucket, before: list[Tensor]) -> list[Tensor] | None:
        """Carry momentum along, or average, once the weights have moved; return new weights to be written, or None.

        `before` holds the weights from before the step (decay is part of the step) if `needs_before`, else nothing.
        """
        return None

    def prepare(self, chain: Chain, buckets: Sequence[Bucket]) -> None:
        """Do what concerns all tensors of a step at once, or cannot be traced, before the first of them moves.

        May write the stage's own buffers, its numbers in `chain.param_groups`, and its scalars in the buckets.
        """

    def switch(self, chain: Chain, training: bool) -> None:
        """Put the weights that are trained in the place of those that are evaluated, or the other way round."""

    def epoch_end(self, chain: Chain) -> None:
        """Note the end of a training epoch; may write the stage's own buffers in `chain.state[p]`."""

    def switched_off(self, chain: Chain) -> str | None:
        """Return why the stage has nothing to do and what would change that, for a warning; None: it is at work."""
        return None

    def metrics(self, chain: Chain) -> dict[str, float]:
        """Return numbers worth logging, gathered by `Chain.metrics()`."""
        return {}


class Evaluation(Hyper):
    """Takes the gradient once, at the weights. Subclasses take it elsewhere, or search for a step size.

    Attributes:
        batch_norm_statistics: which calls of the closure update the running statistics, "first" or "all".
        needs_closure: whether `step` must be given one.
    """

    name = "once"
    batch_norm_statistics: str = "first"
    needs_closure: bool = False

    def gradients(self, chain: Chain, closure: Closure) -> Any:
        """Leave the gradients in `p.grad`, which is what the stages see; return the loss at the weights.

        Runs under no_grad, before any stage, and may call the closure as often as it likes: inside
        `torch.enable_grad()` the closure zeroes the gradients, backpropagates and returns the loss; outside it only
        returns the loss (of the same batch). It may write the weights, if it puts them back, and its numbers in
        `chain.param_groups`. To scale the step by what it found, add a stage that sets `rate_scale`.
        """
        with torch.enable_grad():
            return closure()


def check(key: str, value: Any, allowed: Allowed) -> None:
    """Raise a ValueError of one line unless `value` is allowed: an interval as text, or a list of choices.

    Several intervals joined by `and` are of a sequence, whose entries have one each.
    """
    if not isinstance(allowed, str):
        _check_choice(key, value, allowed)
        return
    intervals = allowed.split(" and ")
    entries: Sequence[Any] = [value]
    if len(intervals) > 1:
        if not isinstance(value, tuple | list) or len(value) != len(intervals):
            raise ValueError(f"{key}={value!r} is not allowed: give {len(intervals)} numbers, in {allowed}")
        entries = value
    if not all(_is_number(e) and _inside(float(e), interval) for e, interval in zip(entries, intervals, strict=True)):
        raise ValueError(f"{key}={value!r} is not allowed: choose numbers in {allowed}")


def near(word: str, words: Iterable[str], cutoff: float = 0.5) -> str:
    """Return `; nearest: x` for the word that was probably meant, or nothing. cutoff: 0 takes any for near."""
    match = close(word, words, cutoff)
    return f"; nearest: {match}" if match else ""


def close(word: str, words: Iterable[str], cutoff: float) -> str | None:
    """Return the word that was probably meant, None where none is as near as `cutoff`, in [0, 1]."""
    return next(iter(difflib.get_close_matches(word, list(words), n=1, cutoff=cutoff)), None)


def _check_choice(key: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        hint = near(str(value), choices)
        raise ValueError(f"{key}={value!r} is not allowed: choose one of {', '.join(choices)}{hint}")


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1
    return isinstance(value, int | float) and not isinstance(value, bool)


def _inside(value: float, interval: str) -> bool:
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    return above and below
