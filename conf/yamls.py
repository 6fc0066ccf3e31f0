"""The one place where YAML is read and written: numbers as on Hydra's command line, everything else as in its yamls.

`1e-3`, `.5` and `5.` are numbers, which they are not to PyYAML; `on`, `off`, `yes` and `no` are booleans; a date is a
text, and so is a number that the command line refuses (`007`, `0x1F`, `1:30`). A key is a word. Torch-free.
"""

import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from yaml.constructor import ConstructorError

from conf.errors import UsageError

_TAG = "tag:yaml.org,2002:"
_KINDS = ("null", "bool", "int", "float", "str", "seq", "map")
_DIGITS = r"[0-9](?:_?[0-9])*"
_WHOLE = r"(?:0|[1-9](?:_?[0-9])*)"
_POINT = rf"(?:{_WHOLE}\.|{_WHOLE}?\.{_DIGITS})"
_NUMBERS = {
    "int": rf"[-+]?{_WHOLE}",
    "float": rf"[-+]?(?:{_POINT}|(?:{_WHOLE}|{_POINT})[eE][-+]?{_DIGITS}|\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN",
}


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """Return what a plain scalar is, by its first letter: PyYAML's null, bool and `<<`, and Hydra's numbers."""
    kept = {f"{_TAG}{kind}" for kind in ("null", "bool", "merge")}
    known = yaml.SafeLoader.yaml_implicit_resolvers.items()
    found = {first: [entry for entry in entries if entry[0] in kept] for first, entries in known}
    for first in "-+.0123456789":
        numbers = [(f"{_TAG}{kind}", re.compile(rf"(?:{text})\Z")) for kind, text in _NUMBERS.items()]
        found[first] = [*found.get(first, []), *numbers]
    return found


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = _resolvers()
    yaml_constructors: ClassVar = {
        tag: yaml.SafeLoader.yaml_constructors[tag] for tag in (*(_TAG + k for k in _KINDS), None)
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.deep_construct = True  # so that a node that holds itself is an error instead of an endless structure

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # a number of more digits than Python reads
            raise ConstructorError(None, None, str(error), node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key for key, _ in node.value if key.tag != f"{_TAG}merge"]
        for number, key in enumerate(keys):
            if key.tag != f"{_TAG}str":
                raise ConstructorError(None, None, f"the key {key.value!r} is not a word", key.start_mark)
            if key.value in {other.value for other in keys[:number]}:
                raise ConstructorError(None, None, f"the key {key.value!r} is there twice", key.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Puts a text in quotes where the loader would read it as something else; repeats equal values, without anchors."""

    yaml_implicit_resolvers = _resolvers()

    def ignore_aliases(self, data: Any) -> bool:
        return True


def load(path: Path) -> Any:
    """Return what a YAML file holds, None for an empty one.

    Raises UsageError, one line with the file and the line in it, for what is no file, not UTF-8 or not YAML, and for
    tags, keys that are no words or occur twice, and anchors in a circle.
    """
    if not path.is_file():
        raise UsageError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    try:
        return yaml.load(raw.decode(), _Loader)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}: line {line} is not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: is nested too deeply") from error
    except yaml.YAMLError as error:
        problem = " ".join(str(getattr(error, "problem", None) or getattr(error, "reason", error)).split())
        raise UsageError(f"{path}: line {_line(error, raw)} is not YAML: {problem}") from error


def dump(content: Any) -> str:
    """Write plain data so that `load` reads the same."""
    return str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True))


def _line(error: yaml.YAMLError, raw: bytes) -> int:
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark else raw.decode()[: getattr(error, "position", 0)].count("\n") + 1


def mapping(key: str, value: Any) -> dict[str, Any]:
    """Return `value`; raises UsageError unless it is a mapping."""
    if not isinstance(value, dict):
        raise UsageError(f"{key}: {value!r} is not a mapping of keys to values")
    return value


def as_list(value: Any) -> list[Any]:
    """Return a list as it is, anything else as a list of one: a single value needs no brackets."""
    return value if isinstance(value, list) else [value]


def blocks(key: str, value: Any) -> list[dict[str, Any]]:
    """Return a mapping, or each of a list of mappings, in a list; raises UsageError for anything else."""
    return [mapping(key, block) for block in as_list(value)]


def values(key: str, value: Any) -> list[Any]:
    """Return `value`; raises UsageError unless it is a list."""
    if not isinstance(value, list):
        raise UsageError(f"{key}: {value!r} is not a list of values")
    return value


def words(key: str, value: Any) -> list[str]:
    """Return a word, or a list of words, as a list; raises UsageError for anything else."""
    found = as_list(value)
    if not all(isinstance(word, str) for word in found):
        raise UsageError(f"{key}: {value!r} is neither a word nor a list of words")
    return found


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys and values of nested mappings; an empty mapping is a value."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
