"""From a command line to one plain, complete, checked configuration. Torch-free.

Precedence, weakest first: the groups' yaml files, the protocol, the scale, `source`, `tuned`, the experiment, the
command line.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from conf import grammar, groups, validate
from conf.errors import UsageError
from conf.fill import config_warnings, fill, replaced_groups, tuned
from conf.layers import experiment_keys, layered, resolved

Words = tuple[str, ...]


def compose(overrides: list[str]) -> dict[str, Any]:
    """Compose, fill in and check a run's configuration.

    overrides: as on the command line, `key=value` or `group=option`. Returns plain dicts, lists and scalars, with no
    interpolation left. Raises UsageError (one line) for anything that cannot work and that needs no torch to see.
    """
    renamed = [re.sub(r"^(\+*)canaries\b", r"\1warnings", word) for word in overrides]  # for one release, the old name
    words = [_listed(grammar.tuned(grammar.path(word))) for word in renamed]
    try:
        return _checked(words)
    except UsageError as error:
        raise _laid_at_the_protocol(error, words) from error


def composed(lines: Iterable[Words]) -> tuple[dict[Words, dict[str, Any]], dict[Words, str]]:
    """Compose many command lines; returns their configurations, and the reasons of those that have none."""
    outcomes = {words: _outcome(list(words), compose) for words in lines}
    reasons = {words: str(outcome) for words, outcome in outcomes.items() if isinstance(outcome, UsageError)}
    return {words: config for words, config in outcomes.items() if not isinstance(config, UsageError)}, reasons


def _laid_at_the_protocol(error: UsageError, words: list[str]) -> UsageError:
    """Word a mistake that is there because the chosen data set is not the protocol's own; others stay as they are.

    It is one if the command line, without its keys of data and model, fails with the data set and not without.
    """
    chosen = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    bare = [word for word in words if not word.startswith(("data.", "model."))]
    failed = _outcome(bare, _checked) if "protocol" in chosen and chosen.get("data") in groups.options("data") else None
    for dropped in (("data=",), ("data=", "model=")) if isinstance(failed, UsageError) else ():
        own = _outcome([word for word in bare if not word.startswith(dropped)], _checked)
        if not isinstance(own, UsageError):
            reason = str(failed).partition("; allowed")[0]
            fit = f"made for data={own['data']['name']}, it does not fit data={chosen['data']}"
            return UsageError(f"protocol={chosen['protocol']}: {fit} ({reason})")
    return error


def _outcome(words: list[str], composing: Callable[[list[str]], dict[str, Any]]) -> dict[str, Any] | UsageError:
    try:
        return composing(words)
    except UsageError as error:
        return error


def _checked(words: list[str]) -> dict[str, Any]:
    given = grammar.parse(words)
    validate.command_line(given)
    config, choices = layered(given, {})
    explicit = {override.key_or_group for override in given} | experiment_keys(choices)
    values, notes = tuned(config, choices)
    other = replaced_groups(config, choices, values, explicit)
    config, now = layered(given, other) if other else (config, choices)
    fill(config, now, values, explicit)
    config = json.loads(json.dumps(resolved(config)))  # plain scalars only, or an error here, not in the run's record
    names = {"protocol_name": now["protocol"], "scale_name": choices["scale"]}
    config |= names | {"notes": notes, "config_warnings": config_warnings(config, choices, values)}
    config["paths"] = {key: grammar.place(place) for key, place in config["paths"].items()}
    validate.composed(config, now)
    return _stripped(config)


def _listed(word: str) -> str:
    """`probe=a,b` chooses both, where Hydra would ask for `probe=[a,b]`."""
    group, _, value = word.partition("=")
    return f"{group}=[{value}]" if group in groups.LISTS and "," in value and value[:1] != "[" else word


def _stripped(plain: dict[str, Any]) -> dict[str, Any]:
    for group in groups.CHECKED:
        plain[group] = {k: v for k, v in plain[group].items() if k not in groups.RESERVED}
    return {key: value for key, value in plain.items() if key not in groups.CONSUMED}
