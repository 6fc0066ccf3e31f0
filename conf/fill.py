"""What a composed configuration still lacks: a scale's smaller choices, `source`, `tuned`, consistency."""

from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from conf import groups
from conf.errors import UsageError
from conf.schema import WARNINGS

Choices = dict[str, Any]
COUNT_EPOCHS = (
    *("schedule.milestones", "schedule.step_size", "schedule.warmup_epochs"),
    *("optimizer.step_size", "evaluate.every_epochs", "probe.ranks.every_epochs"),
)
ACCELERATORS = {"precision": "fp32", "channels_last": False, "compile_model": False, "compile_optimizer": False}


def tuned(config: DictConfig, choices: Choices) -> tuple[dict[str, Any], dict[str, str]]:
    """Look up what `tuned` says of the chosen data set, net and optimizer: values, and notes on some of them."""
    if config.tuned is None:
        return {}, {}
    from conf.tuned import lookup

    names = (choices["data"], choices["model"], choices["optimizer"])
    found = lookup(config.tuned, *names, config.source, given=partial(OmegaConf.select, config))
    return found.values, {key: note for key, note in found.notes.items() if note}


def replaced_groups(config: DictConfig, choices: Choices, values: dict[str, Any], explicit: set[str]) -> Choices:
    """Return the options to choose instead: the scale's smaller data sets and nets, the schedule of `tuned` values.

    A scale replaces what the command line chose, too (`replace: {model: {resnet34: resnet20, "*": resnet20}}`).
    """
    other = {key: value for key, value in values.items() if key in groups.GROUPS and key not in explicit}
    for group, table in config.replace.items():
        if choices[group] in table or "*" in table:
            other[group] = table.get(choices[group], table.get("*"))
    return {group: option for group, option in other.items() if option != choices[group]}


def fill(config: DictConfig, choices: Choices, values: dict[str, Any], explicit: set[str]) -> None:
    """Put values in, weakest first, each only where the command line is silent; then make the whole consistent."""
    _drop_leftovers(config, choices, explicit)
    for key, value in (_source_values(config, choices) | values).items():
        if key not in groups.GROUPS:
            _set(config, key, value, explicit)
    for key, value in (config.set_if_present or {}).items():
        group, _, name = key.partition(".")
        if name in groups.raw(group, str(choices[group])):
            _set(config, key, value, explicit)
    _shrink(config)
    if isinstance(config.warnings, bool):  # one word for all
        config.warnings = dict.fromkeys(WARNINGS, config.warnings)
    if config.mode == "reference":
        for key, off in ACCELERATORS.items():
            if key in explicit and config[key] != off:
                raise UsageError(
                    f"{key}: {config[key]!r} contradicts mode=reference, which turns every accelerator off"
                )
            config[key] = off


def _set(config: DictConfig, key: str, value: Any, explicit: set[str]) -> None:
    if not any(key == name or key.startswith(f"{name}.") for name in explicit - set(groups.GROUPS)):
        OmegaConf.update(config, key, value, force_add="." in key)


def _source_values(config: DictConfig, choices: Choices) -> dict[str, Any]:
    """Collect the `sources` blocks that hold for the chosen source: dotted key -> value.

    A block is named text, code, or any (whatever the source). Inside a block an entry `group=option: {...}` holds for
    that choice alone: `any: {data=cifar10: {data: {normalise: ...}}}`.
    """
    values: dict[str, Any] = {}
    for prefix in ("data.", "model.", "optimizer.", ""):
        node = OmegaConf.select(config, prefix.rstrip(".")) if prefix else config
        blocks = OmegaConf.select(node, "sources") or {}
        for name in ("any", config.source):
            values |= {f"{prefix}{key}": value for key, value in _holding(blocks.get(name), choices).items()}
    return values


def _holding(block: DictConfig | None, choices: Choices) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, entry in (block or {}).items():
        group, conditional, option = str(key).partition("=")
        if not conditional:
            values |= _flat(entry, str(key))
        elif choices[group] == option:
            values |= _flat(entry)
    return values


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if not OmegaConf.is_dict(node):
        return {prefix: node}
    return {k: v for key in node for k, v in _flat(node[key], f"{prefix}.{key}" if prefix else str(key)).items()}


def _drop_leftovers(config: DictConfig, choices: Choices, explicit: set[str]) -> None:
    """Forget what was said of a schedule or a budget that something stronger has replaced; a scale replaces all."""
    for group in ("schedule", "budget"):
        if choices["scale"] != "paper" and group not in explicit:
            explicit = {key for key in explicit if not key.startswith(f"{group}.")}
        known = groups.raw(group, choices[group])
        others = {key for option in groups.options(group) for key in groups.raw(group, option)}
        for key in [k for k in config[group] if k in others - known.keys() and f"{group}.{k}" not in explicit]:
            with open_dict(config):
                del config[group][key]


def _shrink(config: DictConfig) -> None:
    """Cut a budget that is longer than the scale's to it, and by the same factor all that counts epochs."""
    for unit, longest in config.shrink.items():
        length = config.budget.get(unit)
        if length is not None and length > longest:
            config.budget[unit] = longest
            for key in COUNT_EPOCHS:
                value = OmegaConf.select(config, key)
                if value:  # 0 stands for never
                    OmegaConf.update(config, key, _times(value, longest / length))


def _times(value: Any, ratio: float) -> Any:
    if OmegaConf.is_list(value):
        return [_times(entry, ratio) for entry in value]
    return max(1, round(value * ratio)) if isinstance(value, int) else value * ratio
