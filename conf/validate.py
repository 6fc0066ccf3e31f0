"""Is this a run that can be made? Everything that can be told without torch. Raises UsageError, one line."""

import re
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import MISSING

from conf import groups, rules
from conf.check import check_folder, check_name, check_tree, check_value
from conf.errors import UsageError, unknown
from conf.schema import RANGES, Schema


def root_defaults() -> dict[str, Any]:
    """Return the root's keys and defaults, nested as in the schema."""
    return _defaults(Schema())


def _defaults(node: Any) -> dict[str, Any]:
    values = {field.name: getattr(node, field.name) for field in fields(node)}
    return {key: _defaults(value) if is_dataclass(value) else value for key, value in values.items()}


CONSUMED = ("sources", "replace", "set_if_present", "shrink")  # an overlay's word to compose
EXAMPLES = {"optimizer": "torch.optim.RMSprop", "model": "models.imagenet.timm"}
HIDDEN = (*CONSUMED, "notes", "config_warnings", "protocol_name", "scale_name")  # not for the command line


def command_line(overrides: list[Override]) -> None:
    """Check that every override names a group with that option, or a key that can exist."""
    for override in overrides:
        key = override.key_or_group
        if key.startswith("hydra"):
            continue
        if override.is_delete():
            raise UsageError(f"~{key}: a key cannot be removed; choose another option or value")
        if key in groups.GROUPS:
            _choice(key, override.value())
        else:
            _root_key(key, override)


def _choice(group: str, value: Any) -> None:
    for option in value if isinstance(value, list) and group in groups.LISTS else [value]:
        if str(option) not in groups.options(group):
            raise unknown(group, option, groups.options(group))
        check_name(group, str(option))


def _root_key(key: str, override: Override) -> None:
    node, path = root_defaults(), key.split(".")
    if path[0] not in node or path[0] in HIDDEN:
        names = [name for name in node if name not in HIDDEN]
        raise unknown("command line", path[0], [*names, "protocol", "scale"])
    if path[0] in groups.CHECKED:
        return  # checked against the option's yaml, once it is known which
    for depth, part in enumerate(path):
        if not isinstance(node, dict) or part not in node:
            raise unknown(".".join(path[:depth]), part, node if isinstance(node, dict) else [])
        node = node[part]
    if not override.is_sweep_override() and not isinstance(node, dict):
        _root_value(key, override.value(), node)


def _root_value(key: str, value: Any, default: Any) -> None:
    if key == "freeze" or (value is None and key in ("tuned", "target.metric")):
        return
    check_value(key, value, "" if default is None or default == MISSING else default, RANGES.get(key))


def composed(config: dict[str, Any], choices: dict[str, Any]) -> None:
    """Check every value of a composed configuration, whatever file or override it came from."""
    for key, default in root_defaults().items():
        if key in groups.CHECKED or key in HIDDEN:
            continue
        for name, value, standard in _leaves(key, config[key], default):
            _root_value(name, value, standard)
    for group in groups.CHECKED:
        _group(group, config[group], choices[group])
    rules.check(config)


def _leaves(key: str, value: Any, default: Any) -> list[tuple[str, Any, Any]]:
    if not isinstance(default, dict):
        return [(key, value, default)]
    if not isinstance(value, dict):
        raise UsageError(f"{key}: {value!r} is not true or false, nor a mapping of {', '.join(default)}")
    return [leaf for k, d in default.items() for leaf in _leaves(f"{key}.{k}", value[k], d)]


def chosen(choices: dict[str, Any]) -> None:
    """Check the yaml files that were chosen."""
    for group in groups.CHECKED:
        for option in _options(choices[group]):
            groups.raw(group, option)


def _options(choice: Any) -> list[str]:
    return [str(option) for option in (choice if isinstance(choice, list) else [choice])]


def _group(group: str, values: dict[str, Any], choice: Any) -> None:
    known: dict[str, Any] = {}
    ranges: dict[str, Any] = {}
    for content in (groups.raw(group, option) for option in _options(choice)):
        known |= {key: default for key, default in content.items() if key not in groups.RESERVED}
        ranges |= content.get("ranges", {})
    named = {key: value for key, value in values.items() if key not in groups.RESERVED}
    if group in groups.TARGETED:
        _names(group, choice, named, known)
    if group == "optimizer" and isinstance(named["groups"], dict) and named["groups"].keys() == known["groups"].keys():
        del named["groups"]  # words or patterns: rules.py
    check_tree(group, named, known, ranges)
    if group == "paths":
        for key, folder in named.items():
            check_folder(f"paths.{key}", folder)


def _names(group: str, choice: str, values: dict[str, Any], known: dict[str, Any]) -> None:
    """Check what names an option: fixed by its yaml, or, where the yaml is open, a name and a class."""
    for key in ("name", "target", "version"):
        if not groups.is_open(known) and values[key] != known[key]:
            raise UsageError(f"{group}.{key}: fixed by {group}={choice} to {known[key]!r}")
    check_name(f"{group}.name", values["name"])
    target = values["target"]
    if target is not None and not (isinstance(target, str) and re.fullmatch(r"\w+(\.\w+)+", target)):
        raise UsageError(f"{group}.target: {target!r} is not the dotted name of a class, e.g. {EXAMPLES[group]}")
