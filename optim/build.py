"""From the dotted name of an optimizer class and its keywords to the optimizer."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


def build(target: str, params: Any, **keywords: Any) -> Optimizer:
    """Build the optimizer `target` (`optim.AdamP`, `torch.optim.SGD`, anyone's class) over `params`.

    Lists among the keywords become tuples. torch's own optimizers run fused where they can on the parameters' device,
    unless a keyword says otherwise.

    Raises:
        ValueError: one line: the target cannot be imported or is no optimizer; a keyword that it does not take, or that
            is missing; or the optimizer's own complaint about a value.
    """
    cls = _resolve(target)
    keywords = {key: tuple(value) if isinstance(value, list) else value for key, value in keywords.items()}
    _check_keywords(target, cls, keywords)
    params = list(params)
    if cls.__module__.startswith("torch.optim.") and not {"fused", "foreach"} & keywords.keys():
        keywords |= _fused(cls, params)
    try:
        optimizer = cls(params, **keywords)
    except (Exception, SystemExit) as error:  # whatever a stranger's class makes of a value
        raise ValueError(f"{target}: {_said(error)}") from error
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"{target} is not an optimizer: it makes a {type(optimizer).__name__}")
    return optimizer


def _resolve(target: str) -> Callable[..., Any]:
    module, _, name = target.rpartition(".")
    try:
        scope = importlib.import_module(module) if module else None
    except (Exception, SystemExit) as error:  # a stranger's module may do anything when it is imported
        raise ValueError(f"target={target!r}: {_said(error)}") from error
    found = getattr(scope, name, None)
    if not callable(found):
        raise ValueError(f"target={target!r} does not exist{_near(name, dir(scope) if module else [])}")
    return found  # type: ignore[no-any-return]


def _check_keywords(target: str, cls: Callable[..., Any], keywords: Mapping[str, Any]) -> None:
    taken = _keywords(cls)
    for key in keywords:
        if taken and key not in taken:
            raise ValueError(f"{target} takes no {key!r}: it takes {', '.join(taken)}{_near(key, taken)}")
    parameters = list(inspect.signature(cls).parameters.values())[1:]
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    for p in parameters:
        if p.default is p.empty and p.kind not in kinds and p.name not in keywords:
            raise ValueError(f"{target} needs {p.name!r}")


def _keywords(cls: Callable[..., Any]) -> list[str]:
    """The keywords that a class takes beside its first; empty where it takes any."""
    from optim.chain import Chain, Options

    parameters = list(inspect.signature(cls).parameters.values())[1:]
    names = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
    if isinstance(cls, type) and issubclass(cls, Chain):
        return list(dict.fromkeys([*names, *Options.__annotations__]))
    return names if len(names) == len(parameters) else []


def _fused(cls: Callable[..., Any], params: list[Any]) -> dict[str, bool]:
    """`fused=True` where torch has the kernel for this class on these devices and dtypes: found out by trying."""
    if "fused" not in inspect.signature(cls).parameters:
        return {}
    samples = {(p.device, p.dtype): p for p in _tensors(params)}
    try:
        for device, dtype in samples:
            trial = torch.nn.Parameter(torch.zeros(1, device=device, dtype=dtype))
            trial.grad = torch.zeros_like(trial)
            cls([trial], fused=True).step()
    except RuntimeError:
        return {}
    return {"fused": True}


def _tensors(params: Iterable[Any]) -> Iterable[Tensor]:
    for entry in params:
        if isinstance(entry, Mapping):
            yield from _tensors(entry["params"])
        else:
            yield entry[1] if isinstance(entry, tuple) else entry


def _said(error: BaseException) -> str:
    """Return an error's words, with its kind where they do not say what is wrong (`KeyError: 'lr'`)."""
    words = (str(error).splitlines() or [""])[0]
    return words if isinstance(error, TypeError | ValueError | RuntimeError) else f"{type(error).__name__}: {words}"


def _near(word: str, words: Iterable[str]) -> str:
    match = difflib.get_close_matches(word, list(words), n=1)
    return f" (did you mean {match[0]!r}?)" if match else ""
