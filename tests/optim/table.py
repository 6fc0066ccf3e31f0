"""The table of optimizers that the reference and contract tests run over: a new optimizer adds a row here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optim
from tests.optim import reference


@dataclass(frozen=True)
class Row:
    """An optimizer, keywords to build it with, its plain loop (None where it has a test of its own)."""

    make: Callable[..., Any]
    keywords: Mapping[str, Any]
    loop: Callable[..., Any] | None = None
    group: Mapping[str, Any] = field(default_factory=dict)  # what every param group says, such as invariance
    errors: Mapping[str, Any] = field(default_factory=dict)  # a wrong value for each hyper-parameter
    skips: Mapping[str, str] = field(default_factory=dict)  # contract property that does not apply: why

    def build(self, params: Any, **more: Any) -> Any:
        """The optimizer over one group of parameters."""
        return self.make([{"params": list(params), **self.group}], **{**self.keywords, **more})


RATES = {"lr": -1.0, "weight_decay": float("nan"), "decay": "decoupld"}
ADAM = {**RATES, "betas": (1.0, 0.999), "eps": -1e-8}
PROJECTION = {"delta": -0.1, "wd_ratio": 1.5}
BETAS = {"betas": (0.8, 0.95)}
SING = {"lr": 0.05, "base": "adam", "denominator": "softplus", "lookahead": None, "eps": 1e-8, **BETAS}
SING_ERRORS = {**ADAM, "base": "sdg", "denominator": "softpluss"}
ADAMP = {"lr": 0.02, "eps": 1e-8, "delta": 0.1, "wd_ratio": 0.1, "nesterov": False, **BETAS}
SGDP = {"lr": 0.05, "momentum": 0.9, "dampening": 0.2, "nesterov": False, "eps": 1e-8, "delta": 0.1, "wd_ratio": 0.3}
BELIEF = {"lr": 0.02, "eps": 1e-10, "rectify": False, **BETAS}
BOUND = {"lr": 0.01, "final_lr": 0.1, "gamma": 1e-2, "eps": 1e-8, **BETAS}
AHEAD = {"lr": 0.02, "base": "sgd", "k": 3, "alpha": 0.7, **BETAS}
LAMB = {"lr": 0.02, "eps": 1e-6, "max_norm": 2.0, "debias": True, **BETAS}
GC_SGD = {"lr": 0.05, "momentum": 0.9, "dampening": 0.1, "nesterov": True}
PROJECTED = {**ADAM, **PROJECTION, "eps": 0.0}
SGDP_ERRORS = {**RATES, **PROJECTION, "momentum": 1.0, "dampening": 1.5}

ROWS: dict[str, Row] = {
    "sing": Row(optim.SING, SING, reference.sing, errors=SING_ERRORS),
    "sing eps": Row(optim.SING, SING | {"denominator": "eps"}, reference.sing),
    "sing coupled": Row(optim.SING, SING | {"decay": "coupled"}, reference.sing),
    "sing_lookahead": Row(optim.SING, SING | {"lookahead": (3, 0.5)}, reference.sing),
    "sing_sgd": Row(optim.SING, SING | {"base": "sgd"}, reference.sing),
    "sing_adabelief": Row(optim.SING, SING | {"base": "adabelief"}, reference.sing),
    "sing_adabelief eps": Row(optim.SING, SING | {"base": "adabelief", "denominator": "eps"}, reference.sing),
    "sing_adafactor": Row(optim.SING, SING | {"base": "adafactor"}, reference.sing),
    "sing_adafactor eps": Row(optim.SING, SING | {"base": "adafactor", "denominator": "eps"}, reference.sing),
    "gc_sgd": Row(optim.GC_SGD, GC_SGD, reference.gc_sgd, errors={**RATES, "momentum": 1.0, "dampening": -1.0}),
    "gc_adamw": Row(optim.GC_AdamW, {"lr": 0.02, "eps": 1e-8, **BETAS}, reference.gc_adamw, errors=ADAM),
    "adamp": Row(optim.AdamP, ADAMP, reference.adamp, errors=PROJECTED),
    "adamp nesterov": Row(optim.AdamP, ADAMP | {"nesterov": True}, reference.adamp),
    "adamp absolute": Row(optim.AdamP, ADAMP | {"decay": "absolute"}, reference.adamp),
    "sgdp": Row(optim.SGDP, SGDP, reference.sgdp, errors=SGDP_ERRORS),
    "sgdp nesterov": Row(optim.SGDP, SGDP | {"nesterov": True}, reference.sgdp),
    "adabelief": Row(optim.AdaBelief, BELIEF, reference.adabelief, errors=ADAM),
    "adabelief rectify": Row(optim.AdaBelief, BELIEF | {"rectify": True}, reference.adabelief),
    "adabelief coupled": Row(optim.AdaBelief, BELIEF | {"decay": "coupled"}, reference.adabelief),
    "adabound": Row(
        optim.AdaBound, BOUND, reference.adabound, errors={**ADAM, "lr": 0.0, "final_lr": 0.0, "gamma": 0.0}
    ),
    "yogi": Row(
        optim.Yogi,
        {"lr": 0.02, "eps": 1e-3, "initial_accumulator": 1e-6, **BETAS},
        reference.yogi,
        errors={**ADAM, "initial_accumulator": -1.0},
    ),
    "lamb": Row(optim.LAMB, LAMB, reference.lamb, errors={**ADAM, "max_norm": 0.0}),
    "lamb biased": Row(optim.LAMB, LAMB | {"debias": False, "decay": "absolute"}, reference.lamb),
    "lookahead": Row(
        optim.LookAhead, AHEAD, reference.lookahead, errors={**RATES, "base": "sdg", "k": 0, "alpha": 1.5}
    ),
    "lookahead adam": Row(optim.LookAhead, AHEAD | {"base": "adam"}, reference.lookahead),
}

NAMES = [name for name in ROWS if " " not in name]  # one row an optimizer, for the properties that all variants share
