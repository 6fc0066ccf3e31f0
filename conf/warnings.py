"""What is allowed and rarely meant, as far as a configuration shows it: a line each, for the warning of that name."""

from functools import partial
from typing import Any

from omegaconf import DictConfig, OmegaConf

from conf import groups
from conf.errors import UsageError

Choices = dict[str, Any]


def config_warnings(config: DictConfig, choices: Choices, tuned: dict[str, Any]) -> dict[str, str]:
    """Return name -> line. tuned: the values that `tuned` gave; without it the protocol's paper is asked."""
    protocol, paper = choices["protocol"], config.tuned or choices["protocol"].partition("_")[0]
    smoothing, own = _said(protocol, "label_smoothing"), config.optimizer
    printed = tuned if config.tuned else _printed(paper, config, choices)
    amount, kind = printed.get("optimizer.weight_decay", 0.0), printed.get("optimizer.decay")
    kind = kind or groups.raw("optimizer", choices["optimizer"]).get("decay")
    found = {}
    if smoothing and not config.label_smoothing:
        found["label_smoothing"] = f"label_smoothing: 0, where protocol={protocol} has {smoothing}"
    if amount and own.get("weight_decay") == 0:
        found["weight_decay"] = f"optimizer.weight_decay: 0, where {paper} has {amount} for {own.name}"
    if amount and own.get("weight_decay") == amount and own.decay != kind:
        found["decay"] = f"optimizer.decay: {own.decay}, where {paper}'s weight_decay of {amount} is {kind}"
    return found


def _said(protocol: str, key: str) -> Any:
    """Return what a protocol, or else one that it builds on, sets a root key to."""
    overlay = groups.raw("protocol", protocol)
    bases = [base for base in overlay.get("defaults", []) if isinstance(base, str) and base != "_self_"]
    return overlay[key] if key in overlay else next(filter(None, (_said(base, key) for base in bases)), None)


def _printed(paper: str, config: DictConfig, choices: Choices) -> dict[str, Any]:
    from conf.tuned import lookup

    names = (choices["data"], choices["model"], choices["optimizer"])
    try:
        return lookup(paper, *names, config.source, given=partial(OmegaConf.select, config)).values
    except UsageError:  # a protocol of no paper, or an optimizer that the paper does not have
        return {}
