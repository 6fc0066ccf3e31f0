"""Chain: a torch optimizer made of stages."""

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypedDict

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from .buckets import buckets_of, counted_on, state_of, switches
from .compiled import Compiled
from .program import Program
from .saved import HALF, restored, understood
from .stages import by_name
from .stages.base import Bucket, Evaluation, Hyper, Stage, check, close, near
from .stages.by_name import Entry
from .stages.keywords import documented, ranges
from .stages.lists import copy_

RANGES = {"lr": "[0, inf)", "weight_decay": "[0, inf)", "decay": ("decoupled", "coupled", "absolute")}
LONGEST_EPOCH = 10_000  # steps: ImageNet's at batch size 128
WARNED_AFTER = (1, LONGEST_EPOCH)  # steps of an optimizer after which its stages are asked whether they are at work


class Options(TypedDict, total=False):
    """Keywords that every optimizer of this package takes beside its own; see `Chain`."""

    param_groups: nn.Module | None
    evaluation: Evaluation | Entry | None
    decay: str | None
    maximize: bool
    foreach: bool | None
    compile: bool
    capturable: bool


class Chain(Optimizer):
    """Runs `stages` over the gradients and applies the step (rules and order: `optim/stages/base.py`).

    An ordinary torch optimizer to everyone outside. Each number in `param_groups` is read at every step; a tensor as
    `lr` works (on a GPU, reading it waits for the device). Weights in bfloat16 or float16 are stepped in float32,
    with float32 state, and rounded once. Gradients are never written. Empty tensors are left alone.

    Args:
        params: parameters, (name, parameter) pairs, or param groups.
        stages: the stages, in order, or their names (`optim/stages/by_name.py`).
        lr: learning rate.
        weight_decay: coefficient, in the convention `decay`.
        decay: `decoupled` (w *= 1 - lr * weight_decay, as AdamW), `coupled` (L2: weight_decay * w joins the gradient
            before all stages), `absolute` (w *= 1 - weight_decay * lr / lr_0, lr_0 being the group's first lr), or
            None for the class's own, which is that of its class keyword (`class Yogi(Chain, decay="coupled")`).
        param_groups: a net that the parameters are of: it says which are scale-invariant (`optim.split_groups`).
        evaluation: where the gradient is taken, or its name; once by default.
        maximize: ascend.
        foreach: step whole lists of tensors instead of one at a time (same numbers); None: on a GPU only, where it
            saves kernel launches. On a CPU one tensor at a time is faster: it stays in the cache.
        compile: run the same code through torch.compile.
        capturable: keep step counts on the parameters' device and read nothing from it, so that a CUDA graph can hold a
            step, and torch.compile(optimizer.step) is one graph. A rate that changes is then to be a tensor there.

    Warns once, at a step, where its groups or the loop switch a stage off (`Stage.switched_off`).

    Raises:
        TypeError: one line, for an unknown keyword.
        ValueError: one line, for a hyper-parameter out of range, stages that contradict each other, a misspelt key of a
            group, `capturable` where a stage is not.
        RuntimeError: at `step`, for a sparse gradient.
    """

    decay: ClassVar[str] = "decoupled"
    sync_gradients: bool = True  # False while the closure is called for gradients that each rank keeps to itself
    zeroed: bool = False  # set by zero_grad, for an evaluation that asks whether its closure called it
    steps_taken: int = 0  # by this object: not part of its state
    capturable: bool = False

    def __init_subclass__(cls, decay: str | None = None) -> None:
        cls.decay = decay or cls.decay
        cls.__doc__ = documented(cls)

    def __init__(
        self,
        params: ParamsT,
        stages: Sequence[Stage | Entry],
        *,
        lr: float | Tensor,
        weight_decay: float = 0.0,
        param_groups: nn.Module | None = None,
        evaluation: Evaluation | Entry | None = None,
        decay: str | None = None,
        maximize: bool = False,
        foreach: bool | None = None,
        compile: bool = False,
        capturable: bool = False,
        **unknown: object,
    ) -> None:
        for key in unknown:
            raise TypeError(no_keyword(type(self).__name__, key, self.keywords()))
        self.stages, self.evaluation = tuple(by_name.stages(stages)), by_name.evaluation(evaluation)
        self.foreach, self.compile, self.capturable = foreach, compile, capturable
        self._prepare()
        if param_groups is not None:
            from .invariance import split_groups  # which asks AdamP, a chain, whether its finding is true

            params = split_groups(params, param_groups)
        own = {"lr": lr, "weight_decay": weight_decay, "decay": decay or self.decay, "maximize": maximize}
        super().__init__(params, own | _merged((*self.stages, self.evaluation)))

    @classmethod
    def keywords(cls) -> list[str]:
        """The keywords that the class takes, beside the parameters."""
        named = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is not p.VAR_KEYWORD]
        return list(dict.fromkeys([*named[1:], *Options.__annotations__]))

    def check_keywords(self, **values: object) -> None:
        """Raise a ValueError of one line if one of these is not what the class's signature allows."""
        for key, value in values.items():
            check(key, value, ranges(type(self))[key])

    def _prepare(self) -> None:
        self._program = Program(self.stages)
        self._compiled = Compiled(self._program.advance)

    @property
    def batch_norm_statistics(self) -> str:
        """Which calls of the closure within a step update batch-norm statistics: `first` or `all`."""
        return self.evaluation.batch_norm_statistics

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's; also validates the group's keys and hyper-parameters, and refuses complex parameters."""
        if isinstance(param_group, dict):
            self._check_keys(param_group)
            self._check(self.defaults | param_group)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group.setdefault("lr_0", float(group["lr"]))
        if any(p.is_complex() for p in group["params"]):
            self.param_groups.pop()
            raise ValueError(f"{type(self).__name__} takes real parameters: use torch.view_as_real on complex ones")

    def _check_keys(self, group: Mapping[str, Any]) -> None:
        """A group may say more than torch asks (`name`, `lr_scale`, what a scheduler keeps), but misspell nothing."""
        for key in group.keys() - self.defaults.keys() - {"params", "param_names", "lr_0", "initial_lr"}:
            meant = close(key, self.defaults, cutoff=0.6)
            if meant and f"{meant}_" not in key and f"_{meant}" not in key:
                raise ValueError(f"param group: unknown key {key!r}{near(key, [meant])}")

    def _check(self, group: Mapping[str, Any]) -> None:
        for key, allowed in RANGES.items():
            check(key, group[key], allowed)
        for part in (*self.stages, self.evaluation):
            part.check(group)
            if self.capturable and part.uncapturable:
                raise ValueError(f"{type(self).__name__} is not capturable: {part.uncapturable}")
        if group["decay"] == "absolute" and float(group["lr"]) == 0:
            raise ValueError("decay='absolute' needs lr > 0: the decay is weight_decay * lr / (first lr)")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step. Returns the loss that the closure gave at the weights, or None without a closure."""
        if closure is None and self._is_blank():
            return None
        if closure is None and self.evaluation.needs_closure and self._moves():
            raise ValueError(f"{type(self).__name__}.step needs a closure: the loss is evaluated more than once")
        loss = None if closure is None else self.evaluation.gradients(self, closure)
        advance = (self._compiled if self.compile else self._program).advance
        for params, bucket in self._prepared():
            advance(bucket)
            self._program.after_step(bucket, [], traced=False)
            if params[0].dtype in HALF:
                copy_(params, bucket.params)
        self._warn_of_what_is_off()
        return loss

    def _moves(self) -> bool:
        return any(float(group["lr"]) for group in self.param_groups)

    def _is_blank(self) -> bool:
        """Whether this is torch.distributed.checkpoint's first step, of rate 0 and gradients 0, to have the state made.

        Made it is, but nothing moves: neither counts nor weights that would be put on a sphere.
        """
        if self.state or torch.compiler.is_compiling() or self._moves():
            return False
        given = [(p, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        if not given or any(bool((p.grad != 0).any()) for p, _ in given):
            return False
        for p, group in given:
            state_of(self, p, p.detach().float() if p.dtype in HALF else p.detach(), group)
        return True

    def _warn_of_what_is_off(self) -> None:
        if torch.compiler.is_compiling():
            return
        self.steps_taken += 1
        if self.steps_taken in WARNED_AFTER:
            for words in filter(None, (stage.switched_off(self) for stage in self.stages)):
                warnings.warn(f"{type(self).__name__}: {words}", stacklevel=4)

    def _prepared(self) -> Iterable[tuple[list[Tensor], Bucket]]:
        """The buckets of a step, all made before the first is stepped where a stage asks for all."""
        made = buckets_of(self)
        if not self._program.prepare_stages:
            return made
        together = list(made)
        for stage in self._program.prepare_stages:
            stage.prepare(self, [bucket for _, bucket in together])
        return together

    def train(self) -> None:
        """Put the weights that are trained in place, where the stages have two kinds (schedule-free); see `eval`."""
        for stage in self.stages:
            stage.switch(self, training=True)

    def eval(self) -> None:
        """Put the weights that are evaluated, and saved as the model, in place; `train()` before the next step."""
        for stage in self.stages:
            stage.switch(self, training=False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As torch's."""
        super().zero_grad(set_to_none)
        self.zeroed = True

    def epoch_end(self) -> None:
        """Tell the stages that a training epoch is over."""
        for stage in self.stages:
            stage.epoch_end(self)

    def metrics(self) -> dict[str, float]:
        """What the stages measure, by name; reading it waits for the device."""
        return {name: value for stage in self.stages for name, value in stage.metrics(self).items()}

    def buffers(self, weight: Tensor, group: Mapping[str, Any]) -> dict[str, Tensor]:
        """What the stages hold of one tensor at first, by name; `weight` in the precision of the state."""
        options = switches(group)
        made = {stage.name: stage.init(weight, options) for stage in self.stages}
        return {f"{stage}.{name}": buffer for stage, found in made.items() for name, buffer in found.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's; buffers are copies of the precision that the weights ask for, float32 for half.

        Reads what torch, adamp, timm and adabelief-pytorch wrote, where the method is the same (`optim.saved`). Raises
        ValueError, one line, for the state of another method, or of tensors of another shape.
        """
        final: dict[str, Any] = {}

        def read(_: Optimizer, given: dict[str, Any]) -> dict[str, Any]:
            final.update(understood(self, given))
            return final

        last = self.register_load_state_dict_pre_hook(read)
        first = self.register_load_state_dict_post_hook(lambda _: self._restore(final), prepend=True)
        try:
            super().load_state_dict(state_dict)
        finally:
            last.remove()
            first.remove()

    def _restore(self, saved: dict[str, Any]) -> None:
        keys = [key for group in saved["param_groups"] for key in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for key, p in zip(keys, params, strict=True):
            for name, value in saved["state"].get(key, {}).items():
                self.state[p][name] = restored(name, value, p, counted_on(self, p))

    def __getstate__(self) -> dict[str, Any]:
        kept = ("stages", "evaluation", "foreach", "compile", "capturable")
        return super().__getstate__() | {key: getattr(self, key) for key in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.defaults.pop("differentiable", None)  # torch's, which would become a key of the groups
        for group in self.param_groups:
            for key, value in self.defaults.items():
                group.setdefault(key, value)
            group.setdefault("lr_0", float(group.get("initial_lr", group["lr"])))
        if "stages" in state:
            self._prepare()


def no_keyword(name: str, key: str, taken: Sequence[str]) -> str:
    """One line for a keyword that `name` does not take."""
    return f"{name} takes no {key!r}: it takes {', '.join(taken)}{near(key, taken)}"


def _merged(parts: Sequence[Hyper]) -> dict[str, Any]:
    """The hyper-parameters of all parts; a ValueError where two parts have one name, or disagree on a value."""
    names = [part.name for part in parts]
    hyper: dict[str, Any] = {}
    for part in parts:
        if names.count(part.name) > 1:
            raise ValueError(f"two stages are called {part.name!r}: set `name` on one of them")
        for key, value in part.hyper.items():
            if hyper.setdefault(key, value) is not value and hyper[key] != value:  # a nan differs from itself
                raise ValueError(f"stages disagree on {key}: {hyper[key]!r} and {value!r}")
    return hyper
