"""From a stored configuration back to a command line, and whose code it would run. Nothing else of a store is asked."""

import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from conf import groups
from conf.compose import compose
from conf.errors import UsageError
from conf.grammar import literal, word
from record import run_id, semantic, todays
from sweep.plan import ROOT, Words

Config = dict[str, Any]
CHOSEN = ("data", "model", "optimizer", "schedule", "budget")
ANY = {"optimizer": "custom", "model": "timm"}  # the options that take a name of anyone's
OURS = ("optim.", "torch.optim.")


def words(config: Config) -> Words:
    """Return the command line that composes to a semantic configuration, every value of it spelt out.

    Raises UsageError, one line, where today's yamls make another run of it, or cannot make it at all.
    """
    for group in (*CHOSEN, "probe"):
        if not isinstance(config.get(group, {}), dict) or (group in CHOSEN and "name" not in config.get(group, {})):
            raise UsageError(f"its {group} is {config.get(group)!r}; allowed: a mapping with a name")
    choices = {group: _option(group, config[group]) for group in CHOSEN} | {"probe": list(config.get("probe", {}))}
    values = {key: value for key, value in todays(config).items() if key != "world_size"}
    line = (*(word(group, option) for group, option in choices.items() if option), *_leaves(values))
    made = semantic(compose(list(line))) | {key: config[key] for key in config.keys() - values.keys()}
    if run_id(made) != run_id(config):
        raise UsageError(f"its values make {run_id(made)} today; a config has changed")
    return line


def foreign(config: Config) -> str | None:
    """Return the dotted class of an optimizer that is neither this suite's, torch's nor an installed entry point's."""
    target = str(config["optimizer"]["target"])
    return None if target.startswith(OURS) or target in groups.plugins().values() else target


def lies_in(target: str, store: Path) -> bool:
    """Tell whether a dotted class would be imported from a file of a store. Imports nothing."""
    package, *inner = target.split(".")[:-1] or [target]
    spec = PathFinder.find_spec(package, [str(ROOT), *sys.path])
    places = [] if spec is None else [*(spec.submodule_search_locations or [spec.origin])]
    return any(Path(str(place), *inner).resolve().is_relative_to(store.resolve()) for place in places)


def _option(group: str, values: Config) -> str:
    """Return the option that a group's values come from: that of their name and class, or the one that takes any."""
    name = str(values["name"])
    exists = name in groups.options(group) and name not in groups.plugins()
    return name if exists and groups.raw(group, name).get("target") == values.get("target") else ANY.get(group, name)


def _leaves(node: Config, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield word(f"{prefix}{key}", literal(value))
