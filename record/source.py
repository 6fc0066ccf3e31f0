"""Is it the code that made a run? The hash of the definitions that a configuration names, and of all that these use.

A definition is a class, a function or an assignment of a module. It counts as Python's syntax tree without docstrings:
comments, formatting, the order of definitions and the names of files change nothing. Followed are the names that a
definition uses, within the target's own top-level package; libraries have their versions in environment.json. Nothing
is imported.
"""

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_VERSIONED = ("torch", "torchvision", "timm")  # their versions are recorded, and their code is large
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)  # parsing a package for them takes ten times as long
_DEFINED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass
class Module:
    """definitions: the statements that bind a name. imports: a name, and the dotted name that it is imported for."""

    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)


def source_hashes(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the hash of the code that each group of a configuration names; code that is not found has none.

    That is its `target`, and what else it names: a class of the target's package (a stage of a chain), or a dotted one.
    """
    groups = {group: options for group, options in config.items() if isinstance(options, dict)}
    found = {group: _group_hash(options) for group, options in groups.items()}
    return {group: digest for group, digest in found.items() if digest}


def changed(row: Mapping[str, Any]) -> list[str]:
    """Return the groups whose code is not what made a run; row: its result, flat. Older results have no hashes."""
    stored = {key.removeprefix("source."): found for key, found in row.items() if key.startswith("source.")}
    named = [(group, f"config.{group}.") for group in stored]
    options = {g: {k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix)} for g, prefix in named}
    today = source_hashes(options)
    return [group for group, found in stored.items() if group in today and today[group] != found]


def _group_hash(options: Mapping[str, Any]) -> str | None:
    """options: of a group, nested or flat."""
    target = str(options.get("target"))
    classes = _classes(target.partition(".")[0])
    words = set(_words(options)) - {target}
    names = [target, *(classes[word] for word in words & classes.keys()), *filter(_DOTTED.fullmatch, words)]
    found = sorted({digest for name in names if (digest := source_hash(name))})
    return _digest(found)[:16] if found else None


def _words(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for key in node if isinstance(node, dict) else ():
        yield from key.split(".")
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _words(value)


@lru_cache
def _classes(package: str) -> dict[str, str]:
    """Return the dotted names of the classes in a package, by their last part; none of a library, which are many."""
    init = None if package in _VERSIONED else _file(package)
    if init is None or init.name != "__init__.py":
        return {}
    found: dict[str, str] = {}
    for path in sorted(init.parent.rglob("*.py")):
        module = ".".join(path.relative_to(init.parent.parent).with_suffix("").parts).removesuffix(".__init__")
        found |= {name: f"{module}.{name}" for name in _CLASS.findall(path.read_text(errors="replace"))}
    return found


@lru_cache
def source_hash(target: str) -> str | None:
    """Return the first 16 hex digits of the SHA-256 of a dotted target's code; None where it is not Python's source."""
    package = target.partition(".")[0]
    found: dict[str, str] = {}
    left = [] if package in _VERSIONED else [target]
    while left:
        name = left.pop()
        module, attribute = _parted(name)
        if name not in found and attribute and name.partition(".")[0] == package:
            read = _module(module)
            statements = read.definitions.get(attribute, [])
            files = {alias for alias, meant in read.imports.items() if _file(meant)}
            found[name] = _digest(_plain(statements, files)) if statements else ""
            left += [read.imports[attribute]] if attribute in read.imports else []
            left += [use for statement in statements for use in _uses(statement, module, read)]
    kept = sorted(filter(None, found.values()))
    return _digest(kept)[:16] if kept else None


def _parted(name: str) -> tuple[str, str]:
    """Part a dotted name into the longest module that there is, and the name in it that comes next."""
    parts = name.split(".")
    lengths = (length for length in range(len(parts) - 1, 0, -1) if _file(".".join(parts[:length])))
    length = next(lengths, 0)
    return (".".join(parts[:length]), parts[length]) if length else ("", "")


@lru_cache(maxsize=4096)
def _file(module: str) -> Path | None:
    places, origin = [str(_ROOT), *sys.path], None
    for part in module.split("."):
        spec = PathFinder.find_spec(part, places)
        if spec is None:
            return None
        places, origin = list(spec.submodule_search_locations or []), spec.origin
    return Path(origin) if origin and origin.endswith(".py") else None


@lru_cache(maxsize=1024)
def _module(name: str) -> Module:
    path, module = _file(name), Module()
    try:
        tree = ast.parse(path.read_bytes()) if path else ast.Module([], [])
    except (OSError, SyntaxError, ValueError):
        return module
    package = name if path and path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        module.imports |= _imported(node, package)
    for statement in _top(tree.body):
        for bound in _bound(statement):
            module.definitions.setdefault(bound, []).append(statement)
    return module


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield a module's statements, those of its `if`, `try` and `with` among them."""
    for statement in body:
        inner = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
        if isinstance(statement, _DEFINED) or not any(inner):
            yield statement
        else:
            yield from _top([one for block in inner for one in block])


def _bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, _DEFINED):
        return {statement.name}
    names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {node.id for node in names if isinstance(node.ctx, ast.Store)}


def _imported(node: ast.AST, package: str) -> dict[str, str]:
    if isinstance(node, ast.Import):
        tops = [alias.name.partition(".")[0] for alias in node.names]
        return {a.asname or top: a.name if a.asname else top for a, top in zip(node.names, tops, strict=True)}
    if not isinstance(node, ast.ImportFrom):
        return {}
    above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    place = ".".join([*above, *([node.module] if node.module else [])])
    return {alias.asname or alias.name: f"{place}.{alias.name}" for alias in node.names}


def _uses(statement: ast.stmt, module: str, read: Module) -> Iterator[str]:
    """Yield the dotted names of the definitions that a statement may use."""
    for node in ast.walk(statement):
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts, node = [node.attr, *parts], node.value
        if isinstance(node, ast.Name):
            if node.id in read.definitions:
                yield f"{module}.{node.id}"
            elif node.id in read.imports:
                yield ".".join([read.imports[node.id], *parts])


def _plain(node: object, files: Set[str]) -> object:
    """Return a syntax tree as lists that are the same in all versions of Python: no docstrings, no empty fields.

    files: names of modules, which are left out.
    """
    if isinstance(node, list):
        return [_plain(entry, files) for entry in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Name) and node.id in files:
        return "module"
    fields = dict(ast.iter_fields(node))
    if isinstance(node, _DEFINED) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = fields["body"][1:]
    kept = {name: value for name, value in fields.items() if value not in (None, [])}
    return [type(node).__name__, *([name, _plain(value, files)] for name, value in kept.items())]


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
