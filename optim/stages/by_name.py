"""Stages and evaluations by their names: how a chain is written in a configuration or on a command line.

An entry is a name, `{name: {keyword: value}}`, or a stage itself:

    stages(["centralize", {"adam": {"denominator": "softplus"}}, radial_projection(delta=0.2)])

The name is that of the class, of any stage of this package, or dotted, of anyone's. The keyword `name` renames a stage
that is there twice.
"""

import inspect
import pkgutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Annotated, Any, TypeVar

from .base import Evaluation, Hyper, Stage, check, near

PACKAGE = __name__.partition(".stages.")[0]
Kind = TypeVar("Kind")
Part = TypeVar("Part", bound=Hyper)
Entry = str | Mapping[str, Mapping[str, Any] | None] | Hyper
Base = Annotated[
    Entry | Sequence[Entry],
    '"sgd", or any stage by its name, or several, with these keywords where a stage takes them and its own entry '
    "(`{'yogi': {'eps': 1e-3}}`) does not say otherwise",
]


def stages(entries: Entry | Sequence[Entry], key: str = "stages", **shared: Any) -> list[Stage]:
    """Return the stages that `entries` name, one or several.

    Args:
        entries: see above.
        key: what they are called in a message.
        shared: keywords for each stage that takes them, weaker than its own.

    Raises:
        ValueError: one line, for an unknown name, or a keyword that is unknown or missing.
    """
    several = entries if isinstance(entries, Sequence) and not isinstance(entries, str) else [entries]
    return [_make(Stage, entry, key, shared) for entry in several]


def evaluation(entry: Entry | None) -> Evaluation:
    """Return the evaluation that `entry` names; None: once. Raises as `stages`."""
    return Evaluation() if entry is None else _make(Evaluation, entry, "evaluation", {})


def known(kind: type[Kind]) -> dict[str, type[Kind]]:
    """Return the classes of this package below another, in whatever file, that numbers and words are enough to make.

    Stages and evaluations are in lower case; what others are made of is not.
    """
    _import_all()
    found = {cls.__name__: cls for cls in _below(kind) if cls.__module__.startswith(f"{PACKAGE}.")}
    kept = [name for name in sorted(found) if name.islower() or not issubclass(kind, Hyper)]
    return {name: found[name] for name in kept if not _takes_stages(found[name])}


@lru_cache
def _import_all() -> None:
    for module in pkgutil.walk_packages(import_module(PACKAGE).__path__, f"{PACKAGE}."):
        import_module(module.name)


def _below(kind: type[Kind]) -> list[type[Kind]]:
    direct = kind.__subclasses__()
    return [*direct, *(cls for one in direct for cls in _below(one))]


def _takes_stages(cls: type[object]) -> bool:
    return any("Stage" in str(p.annotation) for p in inspect.signature(cls).parameters.values())


def _make(kind: type[Part], entry: Entry, key: str, shared: Mapping[str, Any]) -> Part:
    if isinstance(entry, kind):
        return entry
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((name, own),) = entry.items()
    else:
        name, own = str(entry), {}
    cls = _class(kind, name, key)
    taken = {} if cls.__init__ is Hyper.__init__ else inspect.signature(cls).parameters
    keywords = {k: v for k, v in shared.items() if k in taken} | dict(own or {})
    other = keywords.pop("name", None)
    _check_keywords(f"{key}: {name}", taken, keywords)
    try:
        part = cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in keywords.items()})
    except TypeError as error:  # a value of a wrong kind
        raise ValueError(f"{key}: {name}: {error}") from error
    if other is not None:
        part.name = str(other)
    return part


def _class(kind: type[Part], name: str, key: str) -> type[Part]:
    if "." not in name:
        check(key, name, tuple(known(kind)))
        return known(kind)[name]
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{key}: {name}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise ValueError(f"{key}: {name} is no {kind.__name__.lower()}")
    return found


def _check_keywords(place: str, taken: Mapping[str, inspect.Parameter], keywords: Mapping[str, Any]) -> None:
    named = [word for word, p in taken.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    for word in keywords if len(named) == len(taken) else ():
        if word not in named:
            raise ValueError(f"{place} takes no {word!r}: it takes {', '.join(named) or 'none'}{near(word, named)}")
    for word in named:
        if taken[word].default is inspect.Parameter.empty and word not in keywords:
            raise ValueError(f"{place} needs {word!r}")
