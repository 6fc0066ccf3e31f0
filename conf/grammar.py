"""Hydra's command-line grammar: words read, and values written so that they are read as what they are. Torch-free."""

import os
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from conf.errors import UsageError

_CONSTANTS = {None: "null", True: "true", False: "false"}
_PLACE = re.compile(r"(\+*(?:paths\.\w+|data\.path|model\.weights))=(?!['\"]|(?i:null)?\Z)(.*)", re.DOTALL)
_TUNED = re.compile(r"(\+*tuned)=(?!['\"])([^$]*\.ya?ml)", re.DOTALL)


def parse(words: Iterable[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Parse overrides; raises UsageError where the grammar does not. loader: what `glob(...)` looks options up in.

    Do not change what comes back: it is cached, since a table has the same words in most of its lines.
    """
    return [_parsed(word, loader) for word in words]


@lru_cache(maxsize=4096)
def _parsed(word: str, loader: ConfigLoader | None) -> Override:
    try:
        return OverridesParser.create(config_loader=loader).parse_overrides([word])[0]
    except (HydraException, ValueError) as error:  # the latter of a number of more digits than Python reads
        raise UsageError(f"command line: {str(error).strip().splitlines()[0]}") from error


def word(key: str, value: Any) -> str:
    """Write an override as the grammar wants it. A text with `${...}` is interpolated, as in a yaml."""
    return f"{key}={text(value)}"


def text(value: Any) -> str:
    """Write a value as the grammar wants it; a text is quoted only where it would be read as something else."""
    if value is None or isinstance(value, bool):
        return _CONSTANTS[value]
    if isinstance(value, list):
        return f"[{','.join(map(text, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{text(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, str):
        return value if _is_plain(value) else QuotedString(value, Quote.single).with_quotes()
    return repr(value)


def verbatim(value: str) -> str:
    """Write a text that is to arrive as it is: no blank is cut, no `${...}` interpolated."""
    return QuotedString(literal(value), Quote.single).with_quotes()


def literal(value: Any) -> Any:
    """Return a value for `word` in whose texts no `${...}` is interpolated."""
    if isinstance(value, list):
        return [literal(entry) for entry in value]
    if isinstance(value, dict):
        return {key: literal(entry) for key, entry in value.items()}
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value


def path(word: str, tuned: bool = False) -> str:
    """Quote the path of `paths.store=...`: it is taken as it is, whatever it holds. In quotes Hydra reads it.

    tuned: also that of `tuned=....yaml`. Not for a multirun, where a comma parts two files.
    """
    found = _PLACE.fullmatch(word) or (_TUNED.fullmatch(word) if tuned else None)
    return f"{found[1]}={verbatim(found[2])}" if found else word


def varying(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return of each of several command lines the words that not all of them have."""
    shared = set(lines[0]).intersection(*lines) if lines else set()
    return [[word for word in line if word not in shared] for line in lines]


def place(path: Any) -> Any:
    """Return the folder that a text of the command line or the environment names: `~/runs` is below the user's own."""
    return os.path.expanduser(path) if isinstance(path, str) else path


@lru_cache(maxsize=4096)
def _is_plain(value: str) -> bool:
    """Tell whether a text without quotes is read as that text, and as nothing more."""
    try:
        return "${" not in value and parse([f"key={value}"])[0].value() == value
    except UsageError:
        return False
