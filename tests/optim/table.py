"""The table of optimizers that the reference and contract tests run over: a new optimizer adds a row here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optim
from tests.optim import reference
from tests.optim import reference_sphere as sphere


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
FACTOR = {"lr": 0.02, "beta2_decay": -0.7, "eps1": 1e-7, "d": 1.5}
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
    "adafactor": Row(
        optim.Adafactor,
        FACTOR,
        reference.adafactor,
        errors={**RATES, "beta2_decay": 0.1, "eps1": 0.0, "d": 0.5},
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

MOVES = {"no_rate_no_move": "the weights are put on the sphere at every step"}
CHANNEL, LAYER = {"invariance": "channel"}, {"invariance": "layer"}
ADAM_S = {"lr": 0.02, "eps": 1e-8, **BETAS}
MRT = {"lr": 0.02, "momentum": 0.9, "dampening": 0.1}
GRASSMANN = {"lr": 0.02, "omega": 0.1, "grad_clip": 0.5, "lr_ratio": 3.0}
SGDG, ADAMG = GRASSMANN | {"momentum": 0.9}, GRASSMANN | {"eps": 1e-8, "rest": "sgd", **BETAS}
GRASSMANN_ERRORS = {**RATES, "omega": -1.0, "grad_clip": -0.1, "lr_ratio": -1.0}
RANK = {"lr": 0.03, "momentum": 0.9}
SEARCH_ERRORS = {"c": 1.0, "beta_b": 1.0, "gamma": 0.5, "n_batches_per_epoch": 0, "reset": "never", "rule": "wolfe"}

ROWS |= {
    "adams": Row(optim.AdamS, ADAM_S, sphere.adam_s, CHANNEL, errors=ADAM),
    "adams layer": Row(optim.AdamS, ADAM_S, sphere.adam_s, LAYER),
    "adams none": Row(optim.AdamS, ADAM_S, sphere.adam_s, {"invariance": "none"}),
    "adamsrt": Row(optim.AdamSRT, ADAM_S, sphere.adam_srt, CHANNEL, errors=ADAM),
    "adamsrt layer": Row(optim.AdamSRT, ADAM_S, sphere.adam_srt, LAYER),
    "adamsrt none": Row(optim.AdamSRT, ADAM_S, sphere.adam_srt, {"invariance": "none"}),
    "sgdmrt": Row(optim.SGDMRT, MRT, sphere.sgd_mrt, CHANNEL, {**RATES, "momentum": 1.0, "dampening": -1.0}),
    "sgdmrt layer": Row(optim.SGDMRT, MRT, sphere.sgd_mrt, LAYER),
    "sgdmrt none": Row(optim.SGDMRT, MRT, sphere.sgd_mrt, {"invariance": "none"}),
    "sgdg": Row(optim.SGDG, SGDG, sphere.sgdg, CHANNEL, {**GRASSMANN_ERRORS, "momentum": 1.0}, MOVES),
    "sgdg layer": Row(optim.SGDG, SGDG | {"grad_clip": 0.0, "lr": 0.005}, sphere.sgdg, LAYER),
    "adamg": Row(optim.AdamG, ADAMG, sphere.adamg, CHANNEL, {**ADAM, **GRASSMANN_ERRORS, "rest": "sdg"}, MOVES),
    "adamg layer": Row(optim.AdamG, ADAMG | {"rest": "adam"}, sphere.adamg, LAYER),
    "adamg_repo": Row(optim.AdamGRepo, ADAM_S, sphere.adamg_repo, CHANNEL, ADAM, MOVES),
    "adamg_repo layer": Row(optim.AdamGRepo, ADAM_S, sphere.adamg_repo, LAYER),
    "adamg_star": Row(optim.AdamGStar, {"lr": 0.02}, sphere.adamg_star, CHANNEL, RATES, MOVES),
    "adamg_star layer": Row(optim.AdamGStar, {"lr": 0.02}, sphere.adamg_star, LAYER),
    "rmsgd": Row(
        optim.RMSGD,
        RANK,
        errors={
            **RATES,
            "lr": 0.0,
            "momentum": 1.0,
            "beta": 1.5,
            "zeta": -1.0,
            "gamma": 0.0,
            "step_size": -1,
            "variant": "pakage",
            "evbmf_scale": "none",
            "p": 3,
        },
    ),
    "sam": Row(
        optim.SAM,
        {"lr": 0.05},
        errors={**RATES, "momentum": 1.0, "rho": -1.0, "ascent": "lokal", "batch_norm_statistics": "none"},
    ),
    "asam": Row(optim.SAM, {"lr": 0.05, "adaptive": True, "rho": 2.0}),
    "sls": Row(optim.SLS, {"lr": 0.5}, errors={**RATES, **SEARCH_ERRORS, "lr": 0.0, "beta_f": 1.0, "eta_max": 0.0}),
}

NAMES = [name for name in ROWS if " " not in name]  # one row an optimizer, for the properties that all variants share
