"""Combinations that cannot work, each with the sentence that says so. Torch-free."""

import re
from collections.abc import Callable
from typing import Any

from conf import groups, metrics
from conf.errors import UsageError, unknown

Config = dict[str, Any]


def _selection(config: Config) -> str | None:
    if config["selection"] == "best_validation" and not config["data"].get("validation", 0):
        return "selection=best_validation: no validation split; set data.validation, e.g. data.validation=0.1"
    return None


def _accumulation(config: Config) -> str | None:
    if config["batch_size"] % config["accumulation"]:
        return f"accumulation: {config['accumulation']} does not divide batch_size={config['batch_size']}"
    return None


def _smoothing(config: Config) -> str | None:
    task = config["data"].get("task")
    for key, off in (("label_smoothing", 0.0), ("mix", "none")):
        if config[key] != off and task != "multiclass":
            return f"{key}: {config[key]!r} needs a multiclass data set; {config['data']['name']} is {task}"
    return None


def _class_weights(config: Config) -> str | None:
    task = config["data"].get("task")
    if config["class_weights"] and task != "multilabel":
        return f"class_weights: true needs a multilabel data set; {config['data']['name']} is {task}"
    return None


def _stem(config: Config) -> str | None:
    model, size = config["model"], config["data"].get("image_size", 0)
    if model.get("input") == "imagenet" and size <= 32 and not model.get("force", False):
        return (
            f"model={model['name']}: its 7x7 stem is made for ImageNet, not for {size}-pixel images; "
            "take the CIFAR form, or set model.force=true"
        )
    return None


def _warmup(config: Config) -> str | None:
    schedule = config["schedule"]
    if schedule.get("warmup_epochs") and schedule.get("warmup_fraction"):
        return "schedule: warmup_epochs and warmup_fraction are both set; choose one"
    if schedule.get("warmup_fraction") and config["budget"]["name"] == "seconds":
        return "schedule.warmup_fraction: budget=seconds has no length in steps to start with; set warmup_epochs"
    return None


def _custom(config: Config) -> str | None:
    if config["optimizer"].get("target") in (None, ""):
        return "optimizer.target: name a class, e.g. optimizer.target=torch.optim.RMSprop"
    return None


def _frozen(config: Config) -> str | None:
    freeze = config["freeze"]
    if freeze not in ("none", "norm_affine") and not _patterns(freeze):
        return f"freeze: {freeze!r} is not one of none, norm_affine, or a list of parameter-name patterns"
    return None


def _facts(config: Config) -> str | None:
    stated = {"num_classes", "in_chans"} & set(config["model"].get("args") or {})
    return f"model.args: {', '.join(sorted(stated))} comes from the data set" if stated else None


def _groups(config: Config) -> str | None:
    said = config["optimizer"]["groups"]
    for key, words in (("no_decay", ("none", "bias_and_norm")), ("invariance", ("none", "auto"))):
        value = said[key]
        if isinstance(value, dict) and key == "invariance":
            patterns, extra = list(value.values()), set(value) - {"channel", "layer"}
        else:
            patterns, extra = [value] if isinstance(value, list) else [], set()
        fits = value in words or bool(patterns)
        if not fits or extra or not all(map(_patterns, patterns)):
            form = "patterns {channel: [...], layer: [...]}" if key == "invariance" else "a list of patterns"
            return f"optimizer.groups.{key}: {value!r} is not one of {', '.join(words)}, or {form}"
    return None


def _reference(config: Config) -> str | None:
    reference = config["budget"].get("reference")
    known = [name for name in groups.options("optimizer") if name not in groups.plugins() and name != "custom"]
    if reference is not None and reference not in known:
        return str(unknown("budget.reference", reference, known))
    return None


def _patterns(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) and word for word in value)


def _task(config: Config) -> str | None:
    wanted, has = config["model"].get("task"), config["data"].get("task")
    if wanted != has and (wanted is not None or has == "depth"):
        made = f"made for {wanted} data" if wanted else "has one output per class"
        return f"model={config['model']['name']}: {made}; data={config['data']['name']} is {has}"
    return None


def _device(config: Config) -> str | None:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", config["device"]):
        return f"device: {config['device']!r} is not one of auto, cpu, cuda, cuda:N"
    return None


def _target(config: Config) -> str | None:
    name, data = config["target"]["metric"], config["data"]
    if name is not None:
        metrics.target(name, data["task"], data["num_classes"], bool(data.get("validation")))
    return None


RULES: tuple[Callable[[Config], str | None], ...] = (
    _task, _selection, _accumulation, _smoothing, _class_weights, _stem, _warmup, _custom, _facts, _frozen, _groups,
    _reference, _target, _device,
)  # fmt: skip


def check(config: Config) -> None:
    """Raise UsageError for the first rule that the configuration breaks."""
    for rule in RULES:
        broken = rule(config)
        if broken:
            raise UsageError(broken)
