"""What can be configured, read from the yamls of conf/: groups, options, keys, ranges and meanings. Torch-free."""

import os
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from conf import yamls
from conf.check import check_name, check_number, check_tree
from conf.errors import UsageError, require_known, unknown

ROOT = Path(__file__).parent
FOLDER = "STEPBENCH_CONFIG_DIR"
CHECKED = ("data", "task", "model", "optimizer", "schedule", "budget", "probe", "logger", "paths")
OVERLAYS = ("protocol", "scale", "experiment")  # they write to the root, the later over the earlier
GROUPS = (*CHECKED, *OVERLAYS)
LISTS = ("probe", "logger")  # several options at once: probe=norms,spherical
TASKS = tuple(sorted(path.stem for path in (ROOT / "task").glob("*.yaml") if path.stem != "auto"))
# What a task's yaml says of it: data.task of the sets that it trains on, which of the root's keys that not every task
# knows it takes, whether it trains any classifier or nets of its own, what it measures and by which metric it selects.
TASK_FACTS = ("kinds", "takes", "nets", "metrics", "selects")
RESERVED = ("label", "ranges", "sources", "found", *TASK_FACTS)  # read by conf, gone from the composed configuration
CONSUMED = ("sources", "replace", "set_if_present", "shrink")  # what an overlay tells composition
HIDDEN = (*CONSUMED, "notes", "config_warnings", "protocol_name", "scale_name")  # not for the command line
COUNT = "whole [1, inf)"
DECAY = ["decoupled", "coupled", "absolute"]
# The keys that each yaml of a group has to have, and the range that holds where the yaml gives none of its own.
FACTS: dict[str, dict[str, Any]] = {
    "data": {"task": list(TASKS), "num_classes": COUNT},
    "task": dict.fromkeys(TASK_FACTS),
    "model": {"input": ["cifar", "imagenet", "any"]},
    "optimizer": {"decay": DECAY, "groups.no_decay": None, "groups.invariance": None},
    "schedule": {"warmup_epochs": "[0, inf)"},
    "budget": {},
    "paths": dict.fromkeys(("data", "store", "cache")),
}
IMAGES = dict.fromkeys(("in_channels", "image_size"), COUNT)  # what a set of images says of them
NAMING = ("name", "target", "version")
PARTS = ("target", "decay", "groups")  # what builds an optimizer, beside its class's keywords
TARGETED = ("data", "task", "model", "optimizer", "schedule", "budget")  # groups whose options name a class or function


@lru_cache
def options(group: str) -> tuple[str, ...]:
    """Return the names of a group's options: its yaml files and, for optimizers, installed plug-ins."""
    return tuple(sorted({*files(group), *(plugins() if group == "optimizer" else ())}))


def require(key: str, group: str, value: Any) -> None:
    """Raise UsageError unless `value` is an option of a group, or, of a group that takes several, a list of them."""
    for option in value if isinstance(value, list) and group in LISTS else [value]:
        if str(option) not in options(group):
            raise unknown(key, option, options(group))
        check_name(key, str(option))


def files(group: str) -> list[str]:
    """Return the names of a group's yaml files."""
    return sorted({path.stem for folder in folders() for path in (folder / group).glob("*.yaml")})


def folders() -> list[Path]:
    """Return the folders of yamls: this one, and the user's own (--config-dir), which may add to it."""
    own = os.environ.get(FOLDER)
    return [ROOT, Path(own)] if own else [ROOT]


def add_folder(folder: Path) -> None:
    """Take yamls from a folder of the user's, too, in this process and those that it starts."""
    if not folder.is_dir():
        raise UsageError(f"--config-dir: {str(folder)!r} is not a folder")
    os.environ[FOLDER] = str(folder.absolute())
    options.cache_clear()
    raw.cache_clear()


def path(group: str, option: str) -> Path:
    """Return the yaml file of an option."""
    found = [folder / group / f"{option}.yaml" for folder in folders()]
    return next((file for file in found if file.is_file()), found[0])


@lru_cache
def plugins() -> dict[str, str]:
    """Return the optimizers of installed packages: id -> dotted class (entry points `stepbench.optimizers`)."""
    return {entry.name: entry.value.replace(":", ".") for entry in entry_points(group="stepbench.optimizers")}


@lru_cache
def raw(group: str, option: str) -> dict[str, Any]:
    """Return one option's yaml, uninterpolated, its `ranges` completed. Do not change it: it is cached.

    Raises UsageError, naming the file, where it lacks a key that a yaml of its group has to have, or has a wrong value.
    """
    if option not in files(group) and group == "optimizer" and option in plugins():
        return raw(group, "custom") | {"name": option, "target": plugins()[option]}
    file = path(group, option)
    content = yamls.load(file)
    try:
        return _complete(group, option, {} if content is None else content)
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from error


@lru_cache
def defaults() -> dict[str, Any]:
    """Return the option of each group that runs unless another is chosen."""
    entries = (entry for entry in _train()["defaults"] if isinstance(entry, dict))
    return {group: option for entry in entries for group, option in entry.items()}


@lru_cache
def label(optimizer: str) -> str:
    """Return an optimizer's proper name, as tables and figures print it; its id where no yaml has one."""
    return str(raw("optimizer", optimizer).get("label", optimizer) if optimizer in files("optimizer") else optimizer)


@lru_cache
def _train() -> dict[str, Any]:
    return dict(yamls.load(ROOT / "train.yaml"))


@lru_cache
def root() -> dict[str, Any]:
    """Return the keys of the root with their defaults, groups left out. Do not change it: it is cached."""
    return {key: value for key, value in _train().items() if key not in (*GROUPS, "defaults", "ranges")}


def root_ranges() -> dict[str, Any]:
    """Return the ranges of the root's keys."""
    return dict(_train()["ranges"])


def values(content: dict[str, Any]) -> dict[str, Any]:
    """Return what of an option's yaml enters a run's configuration."""
    return {key: value for key, value in content.items() if key not in RESERVED}


def parts(option: dict[str, Any]) -> dict[str, Any]:
    """Part an optimizer's yaml, or a run's values of it, into what builds it: PARTS, and `keywords` for its class."""
    own = {key: value for key, value in values(option).items() if key not in (*NAMING, *PARTS, "args")}
    return {**{key: option[key] for key in PARTS}, "keywords": own | (option.get("args") or {})}


def is_open(content: dict[str, Any]) -> bool:
    """Tell whether a yaml takes anything of its kind, by any name (custom, timm, folder)."""
    return "args" in content or "found" in content


def _complete(group: str, option: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise UsageError("is not a mapping of keys to values")
    for key in ("ranges", *(CONSUMED if group in OVERLAYS else ("sources",))):
        yamls.mapping(key, content.get(key, {}))
    for name, block in content.get("sources", {}).items():
        _check_source(f"sources: {name}", name, block)
    if group in OVERLAYS:
        _check_overlay(content)
        return content
    facts = FACTS.get(group, {})
    for key in (*(NAMING if group in TARGETED else ()), *facts):
        if not _has(content, key):
            raise UsageError(f"lacks {key!r}")
    if group in TARGETED and content["name"] != option and not is_open(content):
        raise UsageError(f"name: {content['name']!r} is not {option!r}, the file's own")
    facts = facts | ({key: IMAGES[key] for key in IMAGES if key in content} if group == "data" else {})
    ranges = {key: allowed for key, allowed in facts.items() if allowed} | content.get("ranges", {})
    for key, allowed in ranges.items():
        if not _has(content, key) or not isinstance(allowed, str | list):
            raise UsageError(f"ranges: {key!r} is none of its keys, or {allowed!r} no range")
    check_tree(group, values(content), values(content), ranges)
    return {**content, "ranges": ranges} if ranges else content


def _check_source(key: str, name: str, block: Any) -> None:
    """Check a block of `sources` as far as composition reads it: an entry may be `group=option: {...}`."""
    require_known("sources", [name], ("any", *root_ranges()["source"]))
    for entry, values in yamls.mapping(key, block).items():
        chosen, conditional, _ = entry.partition("=")
        if conditional:
            require_known(key, [chosen], GROUPS)
            yamls.mapping(f"{key}: {entry}", values)


def _check_overlay(content: dict[str, Any]) -> None:
    """Check what composition reads of an overlay before the whole configuration is checked."""
    yamls.values("defaults", content.get("defaults", []))
    for group in CHECKED:
        if not isinstance(content.get(group, {}), dict):
            how = f"`defaults: [override /{group}: ...]` chooses an option, `{group}: {{key: value}}` sets its keys"
            raise UsageError(f"{group}: {content[group]!r} is not a mapping; {how}")
    require_known("replace", content.get("replace", {}), (*GROUPS, "tuned"))
    for group, table in content.get("replace", {}).items():
        yamls.mapping(f"replace: {group}", table)
    for key in content.get("set_if_present", {}):
        if key.partition(".")[0] not in CHECKED:
            raise unknown("set_if_present", key, CHECKED)
    for unit, longest in content.get("shrink", {}).items():
        check_number(f"shrink: {unit}", longest, "(0, inf)")


def _has(content: dict[str, Any], key: str) -> bool:
    first, _, rest = key.partition(".")
    inner = content.get(first)
    return first in content and (not rest or (isinstance(inner, dict) and _has(inner, rest)))
