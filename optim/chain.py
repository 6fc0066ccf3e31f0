"""Chain: a torch optimizer made of stages, and the one place where weights are written."""

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypedDict

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from .compiled import Compiled
from .saved import COUNT, HALF, restored, understood
from .stages import by_name
from .stages.base import Bucket, Evaluation, Hyper, Scalar, Stage, check, close, near
from .stages.by_name import Entry
from .stages.lists import add_, copy_, multiply_

RANGES = {"lr": "[0, inf)", "weight_decay": "[0, inf)", "decay": ("decoupled", "coupled", "absolute")}
LONGEST_EPOCH = 10_000  # steps: ImageNet's at batch size 128
WARNED_AFTER = (1, LONGEST_EPOCH)  # steps of an optimizer after which its stages are asked whether they are at work


Scalars = dict[tuple[int, int], dict[str, Scalar]]  # of a group (its id) and a step count


class Options(TypedDict, total=False):
    """Keywords that every optimizer of this package takes beside its own; see `Chain`."""

    evaluation: Evaluation | Entry | None
    decay: str | None
    maximize: bool
    foreach: bool | None
    compile: bool


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
        evaluation: where the gradient is taken, or its name; once by default.
        maximize: ascend.
        foreach: step whole lists of tensors instead of one at a time (same numbers); None: on a GPU only, where it
            saves kernel launches. On a CPU one tensor at a time is faster: it stays in the cache.
        compile: run the same code through torch.compile.

    Warns once, at a step, where its groups or the loop switch a stage off (`Stage.switched_off`).

    Raises:
        TypeError: one line, for an unknown keyword.
        ValueError: one line, for a hyper-parameter out of range, stages that contradict each other, a misspelt key of a
            group.
        RuntimeError: at `step`, for a sparse gradient.
    """

    decay: ClassVar[str] = "decoupled"
    sync_gradients: bool = True  # False while the closure is called for gradients that each rank keeps to itself
    zeroed: bool = False  # set by zero_grad, for an evaluation that asks whether its closure called it
    steps_taken: int = 0  # by this object: not part of its state

    def __init_subclass__(cls, decay: str | None = None) -> None:
        cls.decay = decay or cls.decay

    def __init__(
        self,
        params: ParamsT,
        stages: Sequence[Stage | Entry],
        *,
        lr: float | Tensor,
        weight_decay: float = 0.0,
        evaluation: Evaluation | Entry | None = None,
        decay: str | None = None,
        maximize: bool = False,
        foreach: bool | None = None,
        compile: bool = False,
        **unknown: object,
    ) -> None:
        for key in unknown:
            raise TypeError(no_keyword(type(self).__name__, key, self.keywords()))
        self.stages, self.evaluation = tuple(by_name.stages(stages)), by_name.evaluation(evaluation)
        self.foreach, self.compile = foreach, compile
        self._prepare()
        own = {"lr": lr, "weight_decay": weight_decay, "decay": decay or self.decay, "maximize": maximize}
        super().__init__(params, own | _merged((*self.stages, self.evaluation)))

    @classmethod
    def keywords(cls) -> list[str]:
        """The keywords that the class takes, beside the parameters."""
        named = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is not p.VAR_KEYWORD]
        return list(dict.fromkeys([*named[1:], *Options.__annotations__]))

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
        if group["decay"] == "absolute" and float(group["lr"]) == 0:
            raise ValueError("decay='absolute' needs lr > 0: the decay is weight_decay * lr / (first lr)")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step. Returns the loss that the closure gave at the weights, or None without a closure."""
        moves = any(float(group["lr"]) for group in self.param_groups)
        if closure is None and not moves and self._is_blank():
            return None
        if closure is None and self.evaluation.needs_closure and moves:
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

    def _is_blank(self) -> bool:
        """Whether this is torch.distributed.checkpoint's first step, of rate 0 and gradients 0, to have the state made.

        Made it is, but nothing moves: neither counts nor weights that would be put on a sphere.
        """
        given = [(p, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        if self.state or not given or any(bool((p.grad != 0).any()) for p, _ in given):
            return False
        for p, group in given:
            self._state(p, p.detach().float() if p.dtype in HALF else p.detach(), group)
        return True

    def _warn_of_what_is_off(self) -> None:
        self.steps_taken += 1
        if self.steps_taken in WARNED_AFTER:
            for words in filter(None, (stage.switched_off(self) for stage in self.stages)):
                warnings.warn(f"{type(self).__name__}: {words}", stacklevel=4)

    def _prepared(self) -> Iterable[tuple[list[Tensor], Bucket]]:
        """The buckets of a step, made one by one, so that they stay in the cache, unless a stage asks for all."""
        known: Scalars = {}
        made = ((params, self._bucket(group, params, known)) for group, params in self._lists())
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

    def _lists(self) -> Iterator[tuple[dict[str, Any], list[Tensor]]]:
        for group in self.param_groups:
            lists: dict[Any, list[Tensor]] = {}
            for index, p in enumerate(group["params"]):
                if p.grad is None or not p.numel():
                    continue
                if p.grad.layout != torch.strided:
                    raise RuntimeError(f"{type(self).__name__} takes dense gradients, and got a sparse one")
                together = p.is_cuda if self.foreach is None else self.foreach
                lists.setdefault((p.device, p.dtype) if together else index, []).append(p)
            for params in lists.values():
                yield group, params

    def _bucket(self, group: dict[str, Any], params: list[Tensor], known: Scalars) -> Bucket:
        weights, grads = params, [p.grad for p in params if p.grad is not None]
        if params[0].dtype in HALF:
            weights, grads = [p.float() for p in params], [g.float() for g in grads]
        if group["maximize"]:
            grads = list(torch._foreach_neg(grads))
        options = _options(group)
        if float(group["weight_decay"]) == 0:
            options["decay"] = "none"
        states = [self._state(p, weight, options) for p, weight in zip(params, weights, strict=True)]
        for state in states:
            state["step"] += 1
        keys = [(id(group), int(state["step"])) for state in states]
        for key in keys:
            if key not in known:
                known[key] = self._scalars(group, key[1])
        return Bucket(weights, grads, states, [known[key] for key in keys], options)

    def _state(self, param: Tensor, weight: Tensor, options: Mapping[str, Any]) -> dict[str, Tensor]:
        """The tensor's buffers, made at its first step."""
        state: dict[str, Tensor] = self.state[param]
        if not state:
            state |= {"step": torch.tensor(0, dtype=COUNT, device="cpu")} | self.buffers(weight, options)
        return state

    def buffers(self, weight: Tensor, group: Mapping[str, Any]) -> dict[str, Tensor]:
        """What the stages hold of one tensor at first, by name; `weight` in the precision of the state."""
        options = _options(group)
        made = {stage.name: stage.init(weight, options) for stage in self.stages}
        return {f"{stage}.{name}": buffer for stage, found in made.items() for name, buffer in found.items()}

    def _scalars(self, group: dict[str, Any], step: int) -> dict[str, Scalar]:
        lr, decay = float(group["lr"]), float(group["weight_decay"])
        rate = lr / group["lr_0"] if group["decay"] == "absolute" else lr
        scalars: dict[str, Scalar] = {"chain.lr": lr, "chain.l2": decay, "chain.decay": rate * decay}
        for stage in self.stages:
            scalars |= {f"{stage.name}.{key}": value for key, value in stage.scalars(group, step).items()}
        return scalars

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
                self.state[p][name] = restored(name, value, p)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("stages", "evaluation", "foreach", "compile")
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


CHAIN = Hyper()  # owner of Chain's own numbers in a bucket: the rate, the decay of this step, and the L2 coefficient
CHAIN.name = "chain"


class Program:
    """The arithmetic of a step, apart from the optimizer so that it can be traced (see `optim.compiled`)."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = stages
        self.prepare_stages = [stage for stage in stages if _defines(stage, "prepare")]
        self.retract_stages = [stage for stage in stages if _defines(stage, "retract")]
        self.after_step_stages = [stage for stage in stages if _defines(stage, "after_step")]
        self.needs_before = any(stage.needs_before for stage in self.after_step_stages)

    def advance(self, bucket: Bucket) -> None:
        """Step the bucket, all but the `after_step` of stages that are not traced."""
        updates = bucket.coupled()
        for stage in self.stages:
            updates = stage.update(bucket, updates)
        before = [p.clone() for p in bucket.params] if self.needs_before else []
        self._move(bucket, updates)
        self.after_step(bucket, before, traced=True)

    def _move(self, bucket: Bucket, updates: list[Tensor]) -> None:
        if bucket.options["decay"] not in ("none", "coupled"):
            decay = bucket.scalar(CHAIN, "decay")
            multiply_(bucket.params, [1 - d * scale for d, scale in zip(decay, bucket.decay_scale, strict=True)])
        rates = [lr * s for lr, s in zip(bucket.scalar(CHAIN, "lr"), bucket.rate_scale, strict=True)]
        for stage in self.retract_stages:
            steps = [update * rate for update, rate in zip(updates, rates, strict=True)]
            moved = stage.retract(bucket, steps)
            if moved is not None:
                return _write(bucket.params, moved)
        return add_(bucket.params, updates, [-rate for rate in rates])

    def after_step(self, bucket: Bucket, before: list[Tensor], *, traced: bool) -> None:
        """Run the `after_step` of the stages that are traced, or of those that are not."""
        for stage in self.after_step_stages:
            moved = stage.after_step(bucket, before) if stage.traced == traced else None
            if moved is not None:
                _write(bucket.params, moved)


def no_keyword(name: str, key: str, taken: Sequence[str]) -> str:
    """One line for a keyword that `name` does not take."""
    return f"{name} takes no {key!r}: it takes {', '.join(taken)}{near(key, taken)}"


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    """The group's strings and switches."""
    return {key: value for key, value in group.items() if isinstance(value, bool | str)}


def _defines(stage: Stage, method: str) -> bool:
    return getattr(type(stage), method) is not getattr(Stage, method)


def _write(params: list[Tensor], values: list[Tensor]) -> None:
    for param, value in zip(params, values, strict=True):
        if value is not param:
            param.copy_(value)


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
