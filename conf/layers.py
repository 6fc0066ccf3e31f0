"""One configuration of many yamls: the chosen options, the overlays over them, the command line over all. Torch-free.

The files are Hydra's: groups, defaults lists with `_self_`, bases and `override /group: option`. Hydra's own `compose`
takes 0.13 s a command line, 100 times as long as this: it reads every yaml anew. A test holds the two equal.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, reduce
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conf import groups, yamls
from conf.errors import UsageError, unknown

Config = dict[str, Any]
Choices = dict[str, Any]  # group -> its option, a list of options for the groups that take several
INWARD = re.compile(r"\$\{(?!oc\.env:\w+[,}])")  # refers to more than the environment
VARIABLE = re.compile(r"oc\.env:(\w+)")


def layered(given: Sequence[Override], instead: Choices) -> tuple[Config, Choices]:
    """Return what the yamls and a command line make, with `${...}` still in it, and the options that were chosen.

    instead: options that replace those of the command line.
    """
    words = {override.key_or_group: override.value() for override in given}
    choices: Choices = {group: words[group] for group in groups.GROUPS if group in words} | instead
    overlays: list[Config] = []
    for group in reversed(groups.OVERLAYS):  # the strongest chooses first
        option = str(choices.setdefault(group, groups.defaults()[group]))
        overlays = [*_overlay(group, option, choices), *overlays]
    config = merged({}, groups.root())
    for group in groups.CHECKED:
        chosen = choices.setdefault(group, groups.defaults()[group])
        options = yamls.as_list(chosen)
        choices[group] = list(map(str, options)) if group in groups.LISTS else str(chosen)
        contents = [{k: v for k, v in groups.raw(group, str(option)).items() if k != "ranges"} for option in options]
        config[group] = reduce(merged, contents, Config())
    config = reduce(merged, overlays, config)
    for key, value in words.items():
        if key not in groups.GROUPS:
            put(config, _place(key, config, choices), value)
    return config, choices


def experiment_keys(choices: Choices) -> set[str]:
    """Return the keys and groups that the chosen experiment sets: as if they were on the command line."""
    chosen = {"optimizer": choices["optimizer"]}
    layers = _overlay("experiment", str(choices["experiment"]), chosen)
    return {*chosen, *(key for layer in layers for key, _ in yamls.leaves(layer))}


def _place(key: str, config: Config, choices: Choices) -> str:
    """Return where a key's value goes: what no yaml knows of a plug-in's keywords are its `args`."""
    own = key.removeprefix("optimizer.")
    is_keyword = own != key and own.partition(".")[0] not in config["optimizer"]
    return f"optimizer.args.{own}" if is_keyword and choices["optimizer"] in groups.plugins() else key


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Config:
    """Merge mappings; what is above wins, and a list is replaced as a whole. The result shares no mapping with them."""
    made = dict(below)
    for key, value in above.items():
        under = made.get(key)
        made[key] = merged(under if isinstance(under, dict) else {}, value) if isinstance(value, dict) else value
    return made


def put(config: Config, key: str, value: Any) -> None:
    """Set a dotted key; a mapping is merged with the one that is there. Raises UsageError for an entry of a list."""
    *path, last = key.split(".")
    node = config
    for depth, part in enumerate(path, start=1):
        below = node.get(part)
        if isinstance(below, list):
            whole = ".".join(path[:depth])
            raise UsageError(f"{key}: a list is given whole, not by its entries, e.g. {whole}={json.dumps(below)}")
        if not isinstance(below, dict):
            below = node[part] = {}
        node = below
    node.update(merged({last: node.get(last)}, {last: value}))


def get(config: Config, key: str) -> Any:
    """Return the value of a dotted key, None where there is none."""
    node: Any = config
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def resolved(config: Config) -> Config:
    """Return the configuration with every `${...}` resolved, in plain dicts, lists and scalars."""
    missing = [key for key, value in yamls.leaves(config) if value == "???"]
    if missing:
        raise UsageError(f"{min(missing)}: ??? stands for a value that is still to be given")
    if INWARD.search(json.dumps(config)):
        return yamls.mapping("configuration", _interpolated(config))
    plain = dict(config)
    for key, text in ((key, json.dumps(value)) for key, value in config.items()):
        if "${" in text:
            variables = ((name, os.environ.get(name)) for name in VARIABLE.findall(text))
            plain[key] = json.loads(_from_environment(text, tuple(variables)))
    return plain


@lru_cache
def _from_environment(text: str, variables: tuple[tuple[str, str | None], ...]) -> str:
    """Resolve what JSON holds; `variables` are all that it names. Cached: it takes a third of a composition."""
    return json.dumps(_interpolated(json.loads(text)))


def _interpolated(node: Any) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.create(node), resolve=True)
    except OmegaConfBaseException as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(f"{error.full_key or 'configuration'}: {lines[0]}") from error


def _overlay(group: str, option: str, choices: Choices, above: tuple[str, ...] = ()) -> list[Config]:
    """Return an overlay's content between those that it builds on, weakest first.

    The options that it chooses go into `choices`, where nothing stronger has chosen. above: what builds on it.
    """
    if option in above:
        raise UsageError(f"{groups.path(group, option)}: defaults: builds on itself")
    content = groups.raw(group, option)
    entries = content.get("defaults", [])
    bases = [entry for entry in entries if isinstance(entry, str)]
    chosen = _chosen(f"{groups.path(group, option)}: defaults", [entry for entry in entries if entry not in bases])
    own = {key: value for key, value in content.items() if key != "defaults"}
    if chosen.get("optimizer") != choices.get("optimizer", chosen.get("optimizer")):
        own.pop("optimizer", None)  # the values of an optimizer in whose place another was chosen
    for key, value in chosen.items():
        choices.setdefault(key, value)
    layers: list[Config] = [] if "_self_" in bases else [own]
    for base in bases:
        layers += [own] if base == "_self_" else _overlay(group, base, choices, (*above, option))
    return layers


def _chosen(where: str, entries: Sequence[Any]) -> Choices:
    """Read the `override /group: option` of a defaults list."""
    chosen: Choices = {}
    for key, option in (pair for entry in entries for pair in yamls.mapping(where, entry).items()):
        group = key.removeprefix("override /")
        if group == key or group not in groups.GROUPS:
            raise unknown(where, key, [f"override /{name}" for name in groups.GROUPS])
        groups.require(f"{where}: {group}", group, option)
        chosen[group] = option
    return chosen
