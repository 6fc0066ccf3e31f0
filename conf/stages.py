"""The stages and evaluations that an optimizer can be made of, read from the source of optim/. Torch-free.

A value that names them (a key whose range is one of KINDS) is checked here as far as names and keywords go; the
keywords' values are checked when the optimizer is built. Writing an entry: optim/stages/by_name.py.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from conf.errors import UsageError, unknown

OPTIM = Path(__file__).parent.parent / "optim"
KINDS = {"stages": "Stage", "stages or sgd": "Stage", "evaluation": "Evaluation"}


@dataclass(frozen=True)
class Form:
    """What a class of stages takes: keyword -> whether it has to be given. label: what its buffers are called."""

    label: str
    keywords: dict[str, bool]
    takes_any: bool = False


def check(key: str, value: Any, allowed: str) -> None:
    """Raise UsageError unless `value` is an entry, or a list of them, with names and keywords that exist.

    allowed: one of KINDS.
    """
    several = value if isinstance(value, list) and allowed != "evaluation" else [value]
    if not several:
        raise UsageError(f"{key}: an empty list; allowed: {', '.join(names(allowed))}")
    labels: list[str] = []
    for entry in several:
        name, own = _entry(key, entry)
        if "." in name or (name == "sgd" and "sgd" in allowed and not own):
            continue
        if name not in known(KINDS[allowed]):
            raise unknown(key, name, names(allowed))
        labels.append(_checked(key, name, known(KINDS[allowed])[name], own))
        if labels.count(labels[-1]) > 1:
            raise UsageError(f"{key}: {name} is there twice; give one a name: {{{name}: {{name: second}}}}")


def names(allowed: str) -> list[str]:
    """Return the words that a value of this range can be. allowed: one of KINDS."""
    return [*known(KINDS[allowed]), *(["sgd"] if "sgd" in allowed else [])]


def _entry(key: str, entry: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, dict) and len(entry) == 1:
        ((name, own),) = entry.items()
        if isinstance(own, dict) or own is None:
            return name, own or {}
    elif isinstance(entry, str) and entry:
        return entry, {}
    raise UsageError(f"{key}: {entry!r} is neither a name nor {{name: {{keyword: value}}}}")


def _checked(key: str, name: str, form: Form, own: dict[str, Any]) -> str:
    """Check an entry's keywords; return what the stage is called in the chain."""
    keywords = {word: value for word, value in own.items() if word != "name"}
    stray = [] if form.takes_any else sorted(keywords.keys() - form.keywords.keys())
    if stray:
        raise unknown(f"{key}: {name}", stray[0], [*form.keywords, "name"])
    missing = [word for word, needed in form.keywords.items() if needed and word not in keywords]
    if missing:
        raise UsageError(f"{key}: {name} needs {missing[0]!r}")
    return str(own.get("name", form.label))


@lru_cache
def known(kind: str) -> dict[str, Form]:
    """Return the classes in lower case below `Stage` or `Evaluation` that numbers and words are enough to make."""
    classes = {node.name: node for path in sorted(OPTIM.rglob("*.py")) for node in ast.parse(path.read_text()).body
               if isinstance(node, ast.ClassDef)}  # fmt: skip
    lines = {name: list(_line(name, classes)) for name in classes}
    below = [name for name, line in lines.items() if kind in line[1:] and name.islower()]
    forms = {name: _form([classes[one] for one in lines[name]]) for name in sorted(below)}
    return {name: form for name, form in forms.items() if form is not None}


def _line(name: str, classes: dict[str, ast.ClassDef]) -> Iterator[str]:
    """Yield a class and its first bases, as far as they are in optim/."""
    while name in classes:
        yield name
        name = next((base.id for base in classes[name].bases if isinstance(base, ast.Name)), "")


def _form(line: list[ast.ClassDef]) -> Form | None:
    """Return what a class takes, from the nearest `__init__`; None where that is other stages."""
    bodies = [node for cls in line for node in cls.body]
    init = next(node.args for node in bodies if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    arguments = [argument for argument in (*init.args[1:], init.vararg) if argument is not None]
    if any(argument.annotation and "Stage" in ast.unparse(argument.annotation) for argument in arguments):
        return None
    first_default = len(init.args) - len(init.defaults)
    keywords = {argument.arg: index < first_default for index, argument in enumerate(init.args[1:], start=1)}
    takes_any = init.kwarg is not None and len(keywords) > 0
    return Form(_label(bodies), keywords, takes_any)


def _label(bodies: list[ast.stmt]) -> str:
    named = (node.value for node in bodies if isinstance(node, ast.Assign | ast.AnnAssign) and _sets_name(node))
    return next(str(value.value) for value in named if isinstance(value, ast.Constant))


def _sets_name(node: ast.Assign | ast.AnnAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [ast.unparse(target) for target in targets] == ["name"]
