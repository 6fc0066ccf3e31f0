"""From a command line to one plain, complete, checked configuration. Torch-free.

Precedence, weakest first: the groups' yaml files, the protocol, the scale, `source`, `tuned`, the experiment, the
command line.
"""

import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from conf import grammar, groups, validate, yamls
from conf.check import check_value
from conf.content import take_from_files
from conf.errors import UsageError
from conf.layers import Choices, Config, experiment_keys, get, layered, put, resolved
from conf.tuned import Tuned, lookup

Words = tuple[str, ...]
COUNT_EPOCHS = (
    *("schedule.milestones", "schedule.step_size", "schedule.warmup_epochs"),
    *("optimizer.step_size", "evaluate.every_epochs", "probe.ranks.every_epochs"),
)
ACCELERATORS = {"precision": "fp32", "channels_last": False, "compile_model": False, "compile_optimizer": False}


def compose(overrides: list[str]) -> Config:
    """Compose, fill in and check a run's configuration.

    overrides: as on the command line, `key=value` or `group=option`. Returns plain dicts, lists and scalars, with no
    interpolation left. Raises UsageError (one line) for anything that cannot work and that needs no torch to see.
    """
    renamed = [re.sub(r"^(\+*)canaries\b", r"\1warnings", word) for word in overrides]  # for one release, the old name
    words = [_listed(grammar.path(word, tuned=True)) for word in renamed]
    try:
        return _checked(words)
    except UsageError as error:
        raise _laid_at_the_protocol(error, words) from error


def composed(lines: Iterable[Words]) -> tuple[dict[Words, Config], dict[Words, str]]:
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


def _outcome(words: list[str], composing: Callable[[list[str]], Config]) -> Config | UsageError:
    try:
        return composing(words)
    except UsageError as error:
        return error


def _checked(words: list[str]) -> Config:
    given = grammar.parse(words)
    validate.command_line(given)
    asked, choices = layered(given, {})
    for key in ("source", "tuned"):  # read before the whole is checked
        check_value(key, asked[key], groups.root()[key], groups.root_ranges().get(key))
    explicit = {override.key_or_group for override in given} | experiment_keys(choices)
    other = _replaced(asked, choices)
    config, now = layered(given, other) if other else (asked, choices)
    ours = asked["replace"].get("tuned", {}).get("*")  # a scale's own values are for its own data and nets
    paper = asked["tuned"] and (ours or asked["tuned"])
    found = _lookup(paper, *((config, now) if ours else (asked, choices))) if paper else Tuned()
    values, notes = found.values, {key: note for key, note in found.notes.items() if note}
    groups_too = {key: value for key, value in values.items() if key in groups.GROUPS and key not in explicit}
    config, now = layered(given, other | groups_too) if groups_too else (config, now)
    _fill(config, now, values, explicit)
    config = json.loads(json.dumps(resolved(config)))  # plain scalars only, or an error here, not in the run's record
    names = {"protocol_name": now["protocol"], "scale_name": choices["scale"]}
    config |= names | {"notes": notes, "config_warnings": _warnings(config, choices, values)}
    config["paths"] = {key: grammar.place(place) for key, place in config["paths"].items()}
    take_from_files(config, str(now["data"]))
    validate.composed(config, now)
    for group in groups.CHECKED:
        config[group] = groups.values(config[group])
    return {key: value for key, value in config.items() if key not in groups.CONSUMED}


def _listed(word: str) -> str:
    """`probe=a,b` chooses both, where Hydra would ask for `probe=[a,b]`."""
    group, _, value = word.partition("=")
    return f"{group}=[{value}]" if group in groups.LISTS and "," in value and value[:1] != "[" else word


def _lookup(paper: str, config: Config, choices: Choices) -> Tuned:
    data, model, optimizer = (_named(config, group, choices[group]) for group in ("data", "model", "optimizer"))
    return lookup(paper, data, model, optimizer, config["source"], given=partial(get, config))


def _named(config: Config, group: str, option: str) -> str:
    """Return what stores and tuned files call an option: the user's name for it, where the option takes one."""
    return str(config[group]["name"] or option) if groups.is_open(groups.raw(group, option)) else option


def _replaced(config: Config, choices: Choices) -> Choices:
    """Return the options that the scale puts in the place of the chosen ones: a protocol, a data set, a net.

    It replaces what the command line chose, too (`replace: {model: {resnet34: resnet20, "*": resnet20}}`).
    """
    other = {
        group: table.get(choices[group], table.get("*", choices[group]))
        for group, table in config["replace"].items()
        if group in choices
    }
    return {group: option for group, option in other.items() if option != choices[group]}


def _fill(config: Config, choices: Choices, values: Config, explicit: set[str]) -> None:
    """Put values in, weakest first, each only where the command line is silent; then make the whole consistent."""
    _complete_task(config, choices)
    _drop_leftovers(config, choices, explicit)
    for key, value in (_source_values(config, choices) | values).items():
        if key not in groups.GROUPS and key not in _leftovers(choices):
            _set(config, key, value, explicit)
    for key, value in config["set_if_present"].items():
        group, _, name = key.partition(".")
        if name in groups.raw(group, str(choices[group])):
            _set(config, key, value, explicit)
    _shrink(config)
    if not isinstance(config["warnings"], dict):  # one word for all
        check_value("warnings", config["warnings"], True)
        config["warnings"] = dict.fromkeys(groups.root()["warnings"], config["warnings"])
    if config["mode"] == "reference":
        for key, off in ACCELERATORS.items():
            if key in explicit and config[key] != off:
                raise UsageError(
                    f"{key}: {config[key]!r} contradicts mode=reference, which turns every accelerator off"
                )
            config[key] = off


def _complete_task(config: Config, choices: Choices) -> None:
    """Put the data set's own task in the place of `auto`, with what the command line and the protocol said of it."""
    own, auto = config["data"]["task"], groups.raw("task", "auto")
    if choices["task"] == "auto" and own in groups.TASKS:  # else validate words it
        choices["task"] = own
        given = {key: value for key, value in config["task"].items() if key not in auto or value != auto[key]}
        config["task"] = groups.raw("task", own) | given


def _set(config: Config, key: str, value: Any, explicit: set[str]) -> None:
    if not any(key == name or key.startswith(f"{name}.") for name in explicit - set(groups.GROUPS)):
        put(config, key, value)


def _source_values(config: Config, choices: Choices) -> Config:
    """Collect the `sources` blocks that hold for the chosen source: dotted key -> value.

    A block is named text, code, or any (whatever the source). Inside a block an entry `group=option: {...}` holds for
    that choice alone: `any: {data=cifar10: {data: {normalise: ...}}}`.
    """
    values: Config = {}
    own = {
        f"{group}.": groups.raw(group, choices[group]).get("sources", {}) for group in ("data", "model", "optimizer")
    }
    for prefix, blocks in {**own, "": config["sources"]}.items():
        for name in ("any", config["source"]):
            values |= {f"{prefix}{key}": value for key, value in _holding(blocks.get(name, {}), choices).items()}
    return values


def _holding(block: Config, choices: Choices) -> Config:
    values: Config = {}
    for key, entry in block.items():
        group, conditional, option = str(key).partition("=")
        if not conditional:
            values |= yamls.leaves({str(key): entry})
        elif choices[group] == option:
            values |= yamls.leaves(entry)
    return values


def _drop_leftovers(config: Config, choices: Choices, explicit: set[str]) -> None:
    """Drop the keys of a schedule or a budget that something stronger has replaced; a scale replaces all."""
    for group in ("schedule", "budget"):
        if choices["scale"] != "paper" and group not in explicit:
            explicit = {key for key in explicit if not key.startswith(f"{group}.")}
    for key in _leftovers(choices) - explicit:
        group, _, name = key.partition(".")
        config[group].pop(name, None)


def _leftovers(choices: Choices) -> set[str]:
    """Return the keys that other schedules and budgets have, and the chosen ones have not."""
    keys: set[str] = set()
    for group in ("schedule", "budget"):
        others = {key for option in groups.options(group) for key in groups.raw(group, option)}
        keys |= {f"{group}.{key}" for key in others - groups.raw(group, choices[group]).keys()}
    return keys


def _shrink(config: Config) -> None:
    """Cut a budget that is longer than the scale's to it, and by the same factor all that counts epochs."""
    for unit, longest in config["shrink"].items():
        length = config["budget"].get(unit)
        if isinstance(length, int | float) and length > longest:
            config["budget"][unit] = longest
            for key in COUNT_EPOCHS:
                value = get(config, key)
                if value:  # 0: never
                    put(config, key, _times(value, longest / length))


def _times(value: Any, ratio: float) -> Any:
    if isinstance(value, list):
        return [_times(entry, ratio) for entry in value]
    if isinstance(value, int):
        return max(1, round(value * ratio))
    return value * ratio if isinstance(value, float) else value  # what is no number is refused later


def _warnings(config: Config, choices: Choices, tuned: Config) -> dict[str, str]:
    """Return the warnings that a configuration gives without torch: name -> line.

    tuned: the values that `tuned` gave; without it the protocol's paper is asked.
    """
    protocol, paper = choices["protocol"], config["tuned"] or choices["protocol"].partition("_")[0]
    smoothing, own = _said(protocol, "label_smoothing"), config["optimizer"]
    printed = tuned if config["tuned"] else _printed(paper, config, choices)
    amount, kind = printed.get("optimizer.weight_decay", 0.0), printed.get("optimizer.decay")
    kind = kind or groups.raw("optimizer", choices["optimizer"]).get("decay")
    found = {}
    if smoothing and not config["label_smoothing"]:
        found["label_smoothing"] = f"label_smoothing: 0, where protocol={protocol} has {smoothing}"
    if amount and own.get("weight_decay") == 0:
        found["weight_decay"] = f"optimizer.weight_decay: 0, where {paper} has {amount} for {own['name']}"
    if amount and own.get("weight_decay") == amount and own["decay"] != kind:
        found["decay"] = f"optimizer.decay: {own['decay']}, where {paper}'s weight_decay of {amount} is {kind}"
    return found


def _said(protocol: str, key: str) -> Any:
    """Return what a protocol, or else one that it builds on, sets a root key to."""
    overlay = groups.raw("protocol", protocol)
    bases = [base for base in overlay.get("defaults", []) if isinstance(base, str) and base != "_self_"]
    return overlay[key] if key in overlay else next(filter(None, (_said(base, key) for base in bases)), None)


def _printed(paper: str, config: Config, choices: Choices) -> Config:
    try:
        return _lookup(paper, config, choices).values
    except UsageError:  # a protocol of no paper, or an optimizer that the paper does not have
        return {}
