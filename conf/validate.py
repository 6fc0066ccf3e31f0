"""Is this a run that can be made? Everything that can be told without torch. Raises UsageError, one line."""

import re
from collections.abc import Iterator
from typing import Any

from hydra.core.override_parser.types import Override

from conf import groups, metrics, yamls
from conf.check import check_folder, check_name, check_tree, check_value
from conf.errors import UsageError, nearest, unknown

Config = dict[str, Any]
EXAMPLES = {"optimizer": "torch.optim.RMSprop", "model": "my.module.Net", "data": "my.module.dataset"}
FACTS = {"num_classes": 10, "in_channels": 3, "image_size": 32}  # each with an example


def command_line(overrides: list[Override]) -> None:
    """Check that every override names a group with that option, or a key that can exist."""
    chosen = {override.key_or_group: override.value() for override in overrides}
    for override in overrides:
        key = override.key_or_group
        if override.is_sweep_override():  # several values, a range, a glob
            values = override.get_value_string()
            raise UsageError(
                f"{key}={values}: -m makes a run of each; {key}=[...] is a list, and in quotes it is one word"
            )
        if override.package is not None:
            raise UsageError(f"{override.get_key_element()}: a group has one place; allowed: {key}=<option>")
        if override.is_delete():
            raise UsageError(f"~{key}: a key cannot be removed; choose another option or value")
        if key in groups.GROUPS:
            groups.require(key, key, override.value())
        else:
            _root_key(key, override, chosen)


def _root_key(key: str, override: Override, chosen: Config) -> None:
    node: Any = groups.root()
    first, *rest = key.split(".")
    if first in groups.CHECKED:
        return  # checked against the option's yaml, once it is known which
    if first not in node or first in groups.HIDDEN:
        names = [*groups.CHECKED, *(name for name in node if name not in groups.HIDDEN), *groups.OVERLAYS]
        raise unknown("command line", first, names, _meant(first, chosen))
    node = node[first]
    for depth, part in enumerate(rest, start=1):
        if not isinstance(node, dict) or part not in node:
            raise unknown(".".join([first, *rest][:depth]), part, node if isinstance(node, dict) else [])
        node = node[part]
    if key != "freeze" and not isinstance(node, dict):
        check_value(key, override.value(), node, groups.root_ranges().get(key))


def _meant(word: str, chosen: Config) -> str | None:
    """Return the key that `word` is probably meant to be; the last part is enough (`lr`: `optimizer.lr`).

    Of equal last parts that of a chosen option goes first.
    """
    names = [*groups.GROUPS, *groups.root()]
    keys = [key for key, _ in yamls.leaves(groups.root()) if not key.startswith("warnings.")]  # named after other keys
    for picked in (chosen, {group: groups.files(group) for group in groups.CHECKED}):
        for group in groups.CHECKED:
            wanted = picked.get(group)
            for option in set(groups.files(group)) & set(yamls.as_list(wanted)):
                keys += [f"{group}.{key}" for key, _ in yamls.leaves(groups.raw(group, option))]
    full = {key.rpartition(".")[2]: key for key in reversed(keys)} | {name: name for name in names}
    found = nearest(word, full.keys() - {*groups.HIDDEN})
    return full[found.removeprefix("; nearest: ")] if found else None


def composed(config: Config, choices: Config) -> None:
    """Check every value of a composed configuration, whatever file or override it came from."""
    known = {key: default for key, default in groups.root().items() if key not in groups.HIDDEN}
    for key in config.keys() - {*groups.root(), *groups.CHECKED, "ranges"}:
        raise _stray(key)
    values = {key: config[key] for key in known if key != "freeze"}  # words or patterns: _training
    check_tree("", values, known, groups.root_ranges())
    for group in groups.CHECKED:
        _group(group, config[group], choices[group])
    combination(config)


def _stray(key: str) -> UsageError:
    """Word a key of a protocol or a scale that the root does not have."""
    paths = [path for group in groups.OVERLAYS for path in sorted((groups.ROOT / group).glob("*.yaml"))]
    where = [path for path in paths if re.search(rf"(?m)^{re.escape(key)}\s*:", path.read_text(errors="replace"))]
    place = f" in {where[0].parent.name}/{where[0].name}" if where else ""
    return UsageError(f"{key}: unknown key{place}{nearest(key, [*groups.CHECKED, *groups.root()])}")


def _group(group: str, values: Config, choice: Any) -> None:
    content: Config = {}
    ranges: Config = {}
    for one in (groups.raw(group, str(option)) for option in yamls.as_list(choice)):
        content |= one
        ranges |= one.get("ranges", {})
    known, named = groups.values(content), groups.values(values)
    for key in values.keys() - named.keys():
        if values[key] != content.get(key):
            raise unknown(group, key, known)
    if group in groups.TARGETED:
        _names(group, choice, named, known)
    if group == "optimizer" and isinstance(named["groups"], dict) and named["groups"].keys() == known["groups"].keys():
        del named["groups"]  # words or patterns: _optimizer
    check_tree(group, named, known, ranges)
    if group == "paths":
        for key, folder in named.items():
            check_folder(f"paths.{key}", folder)


def _names(group: str, choice: str, values: Config, known: Config) -> None:
    """Check what names an option: fixed by its yaml, or, where the yaml is open, a name and a class."""
    is_open = groups.is_open(groups.raw(group, choice))
    for key in groups.NAMING:
        if not is_open and values[key] != known[key]:
            raise UsageError(f"{group}.{key}: fixed by {group}={choice} to {known[key]!r}")
    check_name(f"{group}.name", values["name"])
    target = values["target"]
    if target is not None and not (isinstance(target, str) and re.fullmatch(r"\w+(\.\w+)+", target)):
        raise UsageError(f"{group}.target: {target!r} is not the dotted name of a class, e.g. {EXAMPLES[group]}")


def combination(config: Config) -> None:
    """Raise UsageError for values that are allowed one by one and cannot work together."""
    for rules in (_targets, _task, _training, _schedule, _model, _optimizer):
        for broken in rules(config):
            raise UsageError(broken)


def _targets(config: Config) -> Iterator[str]:
    for group, example in EXAMPLES.items():
        if config[group].get("target") in (None, ""):
            yield f"{group}.target: name a {'function' if group == 'data' else 'class'}, e.g. {group}.target={example}"


def _task(config: Config) -> Iterator[str]:
    data, model, task = config["data"], config["model"], config["task"]["name"]
    for key, example in FACTS.items():
        if data.get(key, example) is None:
            yield f"data.{key}: the files of data={data['name']} do not say it; e.g. data.{key}={example}"
    facts, wanted = groups.raw("task", task), yamls.as_list(model.get("task") or [])
    if data["task"] not in facts["kinds"]:
        yield f"task={task}: trains on {' or '.join(facts['kinds'])} data; data={data['name']} is {data['task']}"
    if task not in wanted and (wanted or facts["nets"] == "own"):
        made = f"made for {' or '.join(wanted)} data" if wanted else "has one output per class"
        yield f"model={model['name']}: {made}; data={data['name']} is {task}"
    if config["selection"] == "best_validation" and not data.get("validation", 0):
        yield "selection=best_validation: no validation split; set data.validation, e.g. data.validation=0.1"
    if config["batch_size"] % config["accumulation"]:
        yield f"accumulation: {config['accumulation']} does not divide batch_size={config['batch_size']}"
    for key in {key for name in groups.TASKS for key in groups.raw("task", name)["takes"]} - {*facts["takes"]}:
        if config[key] != groups.root()[key]:
            able = " or ".join(name for name in groups.TASKS if key in groups.raw("task", name)["takes"])
            yield f"{key}: {str(config[key]).lower()} needs a {able} data set; {data['name']} is {task}"


def _model(config: Config) -> Iterator[str]:
    model, size = config["model"], config["data"].get("image_size", 0)
    if model.get("input") == "imagenet" and size <= 32 and not model.get("force", False):
        yield (
            f"model={model['name']}: its 7x7 stem is made for ImageNet, not for {size}-pixel images; "
            "take the CIFAR form, or set model.force=true"
        )
    stated = {"num_classes", "in_chans"} & set(model.get("args") or {})
    if stated:
        yield f"model.args: {', '.join(sorted(stated))} comes from the data set"


def _schedule(config: Config) -> Iterator[str]:
    schedule, budget = config["schedule"], config["budget"]
    if schedule.get("warmup_epochs") and schedule.get("warmup_fraction"):
        yield "schedule: warmup_epochs and warmup_fraction are both set; choose one"
    if schedule.get("warmup_fraction") and budget["name"] == "seconds":
        yield "schedule.warmup_fraction: budget=seconds has no length in steps to start with; set warmup_epochs"
    known = [name for name in groups.options("optimizer") if name != "custom"]
    if budget.get("reference", "sgd") not in known:
        yield str(unknown("budget.reference", budget["reference"], known))


def _training(config: Config) -> Iterator[str]:
    freeze, target, data = config["freeze"], config["target"]["metric"], config["data"]
    if freeze not in ("none", "norm_affine") and not _patterns(freeze):
        yield f"freeze: {freeze!r} is not one of none, norm_affine, or a list of parameter-name patterns"
    if target is not None:
        tests = config["evaluate"]["test"] == "every"
        metrics.target(target, config["task"]["name"], data["num_classes"], bool(data.get("validation")), tests)
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", config["device"]):
        yield f"device: {config['device']!r} is not one of auto, cpu, cuda, cuda:N"


def _optimizer(config: Config) -> Iterator[str]:
    options = config["optimizer"]
    no_decay, invariance = options["groups"]["no_decay"], options["groups"]["invariance"]
    if no_decay not in ("none", "bias_and_norm") and not _patterns(no_decay):
        yield f"optimizer.groups.no_decay: {no_decay!r} is not one of none, bias_and_norm, or a list of patterns"
    kinds = invariance if isinstance(invariance, dict) else {"": invariance}
    known = kinds.keys() <= {"channel", "layer", ""} and bool(kinds)
    if invariance not in ("none", "auto") and not (known and all(map(_patterns, kinds.values()))):
        form = "patterns {channel: [...], layer: [...]}"
        yield f"optimizer.groups.invariance: {invariance!r} is not one of none, auto, or {form}"


def _patterns(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) and word for word in value)
