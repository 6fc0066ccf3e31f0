"""From a name, a dotted class, or a composed configuration (conf/optimizer/*.yaml), to an optimizer."""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from . import library
from .chain import Chain, no_keyword
from .invariance import describe_groups, param_groups
from .stages.base import near


def configure(
    parts: Mapping[str, Any], model: nn.Module, *, compile: bool = False
) -> tuple[Optimizer, list[dict[str, Any]]]:
    """Build an optimizer for a model's trainable parameters.

    parts: `target`, `keywords`, `groups` and `decay`, as composition hands them over (`conf.groups.parts`).
    Returns it, and the resolved list of its groups, as plain data. Raises ValueError, one line, for keywords that the
    target does not take, a pattern that matches nothing, or `compile` for an optimizer that is not a Chain.
    """
    groups, keywords, cls = param_groups(model, **parts["groups"]), dict(parts["keywords"]), _resolve(parts["target"])
    if _is_chain(cls):  # others fix their convention by their class
        keywords["decay"] = parts["decay"]
    if compile:
        keywords["compile"] = True
    if isinstance(cls, type) and issubclass(cls, Optimizer) and not {"compile", "differentiable"} & keywords.keys():
        cls = _without_dynamo(cls)
    return _made(parts["target"], cls, groups, keywords), describe_groups(groups)


def create_optimizer(name: str, model_or_params: nn.Module | ParamsT, **hyper: Any) -> Optimizer:
    """Build an optimizer of `list_optimizers()`, with the defaults that the suite's configurations have.

    Args:
        name: as `adamp`, `AdamP` or `sing_lookahead`.
        model_or_params: a net, of which the method gets the groups that it wants (`param_groups`; AdamSRT: which
            tensors are scale-invariant), or what any torch optimizer takes.
        hyper: keywords of the class, in the place of the defaults.

    Raises ValueError, one line, for a name or a keyword that does not exist, or a value out of range.

        >>> optimizer = create_optimizer("adamsrt", model, lr=1e-3)
    """
    known = library.option(name)
    if isinstance(model_or_params, nn.Module):
        model_or_params = param_groups(model_or_params, **known["groups"])
    if _is_chain(_resolve(known["target"])):
        hyper = {"decay": known["decay"]} | hyper
    return build(known["target"], model_or_params, **(known["defaults"] | hyper))


def build(target: str, params: ParamsT, **keywords: Any) -> Optimizer:
    """Build the optimizer `target` (`adamp`, `optim.AdamP`, `torch.optim.SGD`, anyone's class) over `params`.

    A name without a dot is one of `list_optimizers()`, which comes with its configuration's defaults. Lists among the
    keywords become tuples. torch's own optimizers run fused where they can on the parameters' device, unless a keyword
    says otherwise.

    Raises:
        ValueError: one line: the target cannot be imported or is no optimizer; a keyword that it does not take, or that
            is missing; or the optimizer's own complaint about a value.
    """
    if "." not in target:
        return create_optimizer(target, params, **keywords)
    return _made(target, _resolve(target), params, keywords)


def _made(target: str, cls: Callable[..., Any], params: ParamsT, keywords: dict[str, Any]) -> Optimizer:
    keywords = {key: tuple(value) if isinstance(value, list) else value for key, value in keywords.items()}
    _check_keywords(target, cls, keywords)
    given: list[Any] = list(params)
    named = list(_named(given))  # before the class takes the names away
    if cls.__module__.startswith("torch.optim.") and not {"fused", "foreach"} & keywords.keys():
        keywords |= _fused(cls, given)
    try:
        optimizer = cls(given, **keywords)
    except (Exception, SystemExit) as error:  # a class that is not ours may raise anything
        raise ValueError(f"{target}: {_said(error)}{_refused(cls, named, keywords)}") from error
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"{target} is not an optimizer: it makes a {type(optimizer).__name__}")
    return optimizer


def _refused(cls: Callable[..., Any], named: list[tuple[str, Tensor]], keywords: Mapping[str, Any]) -> str:
    """Tell which tensors a class refuses, where it takes others (torch.optim.Muon: all but matrices)."""
    refused = []
    for name, tensor in named:
        try:
            cls([tensor], **keywords)
        except (Exception, SystemExit):
            refused.append(f"{name} {[*tensor.shape]}".strip())
    if len(refused) in (0, len(named)):
        return ""
    ours = f"; optimizer={cls.__name__.lower()} takes all" if cls.__name__.lower() in library.catalog() else ""
    return f"; it refuses {len(refused)} of {len(named)} tensors: {', '.join(refused[:3])}, ...{ours}"


def _resolve(target: str) -> Callable[..., object]:
    module, _, name = target.rpartition(".")
    try:
        scope = library.resolve(module)
    except (Exception, SystemExit) as error:  # a module may raise anything when it is imported
        raise ValueError(f"target={target!r}: {_said(error)}") from error
    found: object = getattr(scope, name, None)
    if not callable(found):
        raise ValueError(f"target={target!r} does not exist{near(name, dir(scope))}")
    return found


def _without_dynamo(cls: type[Optimizer]) -> type[Optimizer]:
    """Return a class whose instances do what those of `cls` do and do not import torch._dynamo.

    torch's decorators import it at the first call, to tell a compiler to leave the optimizer alone. That takes longer
    than importing torch itself, in each run of a sweep, and is of no use where no optimizer is compiled.
    """
    if "torch._dynamo" in sys.modules:
        return cls
    for method in vars(Optimizer).values():
        if inspect.isfunction(plain := getattr(method, "__wrapped__", None)):
            plain.__dict__.setdefault("__dynamo_disable", plain)  # where torch._compile looks first
    if not cls.__module__.startswith("torch.optim."):
        return cls
    step = torch.no_grad()(inspect.unwrap(cls.step))
    return type(cls.__name__, (cls,), {"step": step, "__module__": cls.__module__})


def _is_chain(cls: Callable[..., object]) -> bool:
    return isinstance(cls, type) and issubclass(cls, Chain)


def _check_keywords(target: str, cls: Callable[..., object], keywords: Mapping[str, Any]) -> None:
    parameters = list(inspect.signature(cls).parameters.values())[1:]
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    taken = [p.name for p in named]
    if isinstance(cls, type) and issubclass(cls, Chain):
        taken = cls.keywords()
    elif len(named) < len(parameters):
        taken = []  # it takes any
    for key in keywords:
        if taken and key not in taken:
            raise ValueError(no_keyword(target, key, taken))
    for p in named:
        if p.default is p.empty and p.name not in keywords:
            raise ValueError(f"{target} needs {p.name!r}")
        value = keywords.get(p.name, p.default)
        if isinstance(p.default, tuple) and isinstance(value, tuple) and len(value) != len(p.default):
            raise ValueError(f"{target}: {p.name}={value} is not allowed: give {len(p.default)}, as in {p.default}")


def _fused(cls: Callable[..., Any], params: Iterable[Any]) -> dict[str, bool]:
    """`fused=True` where torch has the kernel for this class on these devices and dtypes: found out by trying."""
    if "fused" not in inspect.signature(cls).parameters:
        return {}
    samples = {(p.device, p.dtype) for _, p in _named(params)}
    try:
        for device, dtype in samples:
            trial = torch.nn.Parameter(torch.zeros(1, device=device, dtype=dtype))
            trial.grad = torch.zeros_like(trial)
            cls([trial], fused=True).step()
    except RuntimeError:
        return {}
    return {"fused": True}


def _named(params: Iterable[Any]) -> Iterator[tuple[str, Tensor]]:
    for entry in params:
        if isinstance(entry, Mapping):
            yield from _named(entry["params"])
        else:
            yield entry if isinstance(entry, tuple) else ("", entry)


def _said(error: BaseException) -> str:
    """Return an error's words, with its kind where they do not say what is wrong (`KeyError: 'lr'`)."""
    words = (str(error).splitlines() or [""])[0]
    return (
        words
        if isinstance(error, ImportError | TypeError | ValueError | RuntimeError)
        else f"{type(error).__name__}: {words}"
    )
