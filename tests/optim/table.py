"""The optimizers that the reference and contract tests run over: each yaml of conf/optimizer whose target is in optim/.

The contract is that of chains; a plain torch optimizer is held to its loop alone.

A new one needs nothing here: its row has the yaml's keywords, wrong values from the yaml's ranges, and the plain loop
of its name in `reference.py`. Below are the values that find more than the defaults, and variants.
"""

import math
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from torch.optim import Optimizer

from conf.groups import parts
from optim import Chain
from tests.optim import reference, reference_sphere

OPTIONS = Path(__file__).resolve().parents[2] / "conf" / "optimizer"


@dataclass(frozen=True)
class Row:
    """An optimizer, keywords to build it with, its plain loop (None where it has a test of its own)."""

    make: type[Optimizer]
    keywords: Mapping[str, Any]
    loop: Callable[..., Any] | None = None
    group: Mapping[str, Any] = field(default_factory=dict)  # what every param group says, such as invariance
    errors: Mapping[str, list[Any]] = field(default_factory=dict)  # wrong values for each hyper-parameter
    skips: Mapping[str, str] = field(default_factory=dict)  # contract property that does not apply: why
    decay: str = "decoupled"  # of the yaml

    @property
    def is_chain(self) -> bool:
        return issubclass(self.make, Chain)

    def build(self, params: Any, **more: Any) -> Any:
        """The optimizer over one group of parameters."""
        return self.make([{"params": list(params), **self.group}], **{**self.keywords, **more})


BETAS = {"betas": (0.8, 0.95)}
SOFTPLUS_ADAM = {"adam": {"denominator": "softplus", **BETAS}}
GRASSMANN = {"lr": 0.02, "omega": 0.1, "grad_clip": 0.5, "lr_ratio": 3.0}
MOVES = {"no_rate_no_move": "the weights are put on the sphere at every step"}
CHANNEL, LAYER, NONE = ({"invariance": kind} for kind in ("channel", "layer", "none"))

# Values at which more can go wrong than at the defaults.
VALUES: dict[str, Mapping[str, Any]] = {
    **{name: {"lr": 0.05, **BETAS} for name in ("sing", "sing_sgd", "sing_adabelief", "sing_adafactor")},
    "sing_lookahead": {"lr": 0.05, "lookahead": (3, 0.5), **BETAS},
    "chain": {"lr": 0.05, "stages": ("centralize", "normalize", SOFTPLUS_ADAM, "radial_projection")},
    "gc_sgd": {"lr": 0.05, "momentum": 0.9, "dampening": 0.1, "nesterov": True},
    "gc_adamw": {"lr": 0.02, **BETAS},
    "adamp": {"lr": 0.02, **BETAS},
    "sgdp": {"lr": 0.05, "momentum": 0.9, "dampening": 0.2, "wd_ratio": 0.3},
    "adabelief": {"lr": 0.02, "eps": 1e-10, **BETAS},
    "adabound": {"lr": 0.01, "gamma": 1e-2, **BETAS},
    "adafactor": {"lr": 0.02, "beta2_decay": -0.7, "eps1": 1e-7, "d": 1.5},
    "yogi": {"lr": 0.02, **BETAS},
    "lamb": {"lr": 0.02, "max_norm": 2.0, **BETAS},
    "lion": {"lr": 0.005, **BETAS},
    "cautious": {"lr": 0.02, **BETAS},
    "adan": {"lr": 0.02, "betas": (0.9, 0.8, 0.95)},
    "mars": {"lr": 0.02, "gamma": 0.1, **BETAS},
    "muon": {"lr": 0.02, "ns_dtype": "weights", "adam_lr": 0.01, **BETAS},
    "schedule_free_sgd": {"lr": 0.05, "warmup_steps": 5, "r": 0.5},
    "schedule_free_adamw": {"lr": 0.02, "warmup_steps": 5, **BETAS},
    "shampoo": {"lr": 0.05, "momentum": 0.8, "eps": 0.5, "precondition_frequency": 3},
    "soap": {"lr": 0.02, "precondition_frequency": 4, "max_precondition_dim": 3, **BETAS},  # few equal eigenvalues
    "prodigy": {"d0": 1e-3, **BETAS},
    "adahessian": {"lr": 0.02, **BETAS},
    "sophia": {"lr": 0.02, "estimator": "hutchinson", "update_period": 2, **BETAS},
    "lookahead": {"lr": 0.02, "k": 3, "alpha": 0.7, **BETAS},
    **{name: {"lr": 0.02, **BETAS} for name in ("adams", "adamsrt", "adamg_repo")},
    "sgdmrt": {"lr": 0.02, "momentum": 0.9, "dampening": 0.1},
    "sgdg": GRASSMANN,
    "adamg": GRASSMANN | BETAS,
    "adamg_star": {"lr": 0.02},
    "sam": {"lr": 0.05},
    "asam": {"lr": 0.05},
    "sls": {"lr": 0.5},
}
AVERAGES = {"no_rate_no_move": "goes on averaging"}
SKIPS = dict.fromkeys(("sgdg", "adamg", "adamg_repo", "adamg_star"), MOVES)
OWN_BACKWARD = {"sparse_and_complex_are_refused_in_one_line": "asks its closure for a backward pass"}
SKIPS |= dict.fromkeys(("adahessian", "sophia"), OWN_BACKWARD)
SKIPS |= dict.fromkeys(("schedule_free_sgd", "schedule_free_adamw"), AVERAGES)
TESTED_ELSEWHERE = {
    "rmsgd": "test_rmsgd.py",
    "prodigy": "test_prodigy.py",
    **dict.fromkeys(("adahessian", "sophia"), "test_curvature.py"),
    **dict.fromkeys(("sam", "asam", "sls"), "test_evaluations.py"),
}

# "<row> <what>": keywords over those of the row, and what the group says.
VARIANTS: dict[str, tuple[Mapping[str, Any], Mapping[str, str]]] = {
    "sing eps": ({"denominator": "eps"}, {}),
    "sing coupled": ({"decay": "coupled"}, {}),
    "sing_adabelief eps": ({"denominator": "eps"}, {}),
    "sing_adafactor eps": ({"denominator": "eps"}, {}),
    "adamp nesterov": ({"nesterov": True}, {}),
    "adamp absolute": ({"decay": "absolute"}, {}),
    "sgdp nesterov": ({"nesterov": True}, {}),
    "adabelief rectify": ({"rectify": True}, {}),
    "adabelief coupled": ({"decay": "coupled"}, {}),
    "lamb biased": ({"debias": False, "decay": "absolute"}, {}),
    "adan coupled": ({"decay": "coupled"}, {}),
    "adan absolute": ({"decay": "absolute"}, {}),
    "mars 1d": ({"optimize_1d": True}, {}),
    "muon plain": ({"nesterov": False, "adjust_lr": "match_rms_adamw", "decay": "absolute"}, {}),
    "muon spectral": ({"adjust_lr": "spectral_unclamped"}, {}),
    "schedule_free_sgd absolute": ({"decay": "absolute"}, {}),
    "soap beta": ({"shampoo_beta": 0.7}, {}),
    "lookahead adam": ({"base": "adam"}, {}),
    **{f"{name} layer": ({}, LAYER) for name in ("adams", "adamsrt", "sgdmrt", "adamg_repo", "adamg_star")},
    **{f"{name} none": ({}, NONE) for name in ("adams", "adamsrt", "sgdmrt")},
    "sgdg layer": ({"grad_clip": 0.0, "lr": 0.005}, LAYER),
    "adamg layer": ({"rest": "adam"}, LAYER),
}


def row_of(option: Mapping[str, Any], make: type[Optimizer]) -> Row:
    name = option["name"]
    keywords = {key: tuple(v) if isinstance(v, list) else v for key, v in parts(option)["keywords"].items()}
    errors = {key: wrong_values(allowed, keywords.get(key)) for key, allowed in option["ranges"].items()}
    group = CHANNEL if option["groups"]["invariance"] == "auto" else {}
    keywords = keywords | VALUES.get(name, {}) | ({"decay": option["decay"]} if issubclass(make, Chain) else {})
    del keywords["weight_decay"]  # the tests give it
    return Row(make, keywords, loop_of(name), group, errors, SKIPS.get(name, {}), option["decay"])


def loop_of(name: str) -> Callable[..., Any] | None:
    """The loop of this name, or, for an option like sing_sgd, of the method that it is an option of."""
    for module in (reference, reference_sphere):
        if loop := getattr(module, name, None) or getattr(module, name.partition("_")[0], None):
            return loop
    return None


def wrong_values(allowed: str | list[Any], default: Any) -> list[Any]:
    """Values outside an interval (of each entry of a pair) or a list of choices, as a yaml's `ranges` say them."""
    if isinstance(allowed, list):
        return ["no such word" if isinstance(allowed[0], str) else max(allowed) + 1]
    if not allowed.startswith(("[", "(", "whole ")):  # the name of a stage
        return ["no such word"]
    ends = [outside(interval) for interval in allowed.removeprefix("whole ").split(" and ")]
    if not isinstance(default, tuple) and len(ends) == 1:
        return ends[0]
    pair = default or (5, 0.5)
    return [
        tuple(value if i == j else other for j, other in enumerate(pair))
        for i in range(len(pair))
        for value in ends[i % len(ends)]
    ]


def outside(interval: str) -> list[float]:
    low, high = (float(end) for end in interval[1:-1].split(","))
    below = [low if interval[0] == "(" else low - 1] if math.isfinite(low) else []
    above = [high if interval[-1] == ")" else high + 1] if math.isfinite(high) else []
    return [*below, *above, math.nan]


def rows() -> dict[str, Row]:
    found = {}
    for path in sorted(OPTIONS.glob("*.yaml")):
        option = yaml.safe_load(path.read_text())
        if str(option["target"]).startswith("optim."):
            make = pkgutil.resolve_name(option["target"])
            found[option["name"]] = row_of(option, make)
    for name, (keywords, group) in VARIANTS.items():
        row = found[name.split()[0]]
        found[name] = replace(row, keywords={**row.keywords, **keywords}, group={**row.group, **group})
    return found


ROWS = rows()
# One row an optimizer, for the properties that all its variants share.
NAMES = [name for name, row in ROWS.items() if " " not in name and row.is_chain]
