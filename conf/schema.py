"""The root of a run's configuration: every key that is not inside a group, its type, default and range."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

# Warnings, a line each: conf/warnings.py and training/canaries.py have what each looks at.
WARNINGS = (
    *("label_smoothing", "weight_decay", "decay"),
    *("schedule", "clipping", "overlap", "gradients", "compiled"),
)


@dataclass
class Evaluate:
    every_epochs: int = 1  # the last epoch is always evaluated
    batch_size: int = 512


@dataclass
class Checkpoint:
    every_steps: int = 0  # 0: by time alone
    every_minutes: float = 5.0


@dataclass
class Target:
    metric: str | None = None  # e.g. top1, or test_top1; the first evaluation that reaches `value` is recorded
    value: float = 0.0


@dataclass
class Schema:
    # What is run. Every group is checked against its own yaml (conf/validate.py).
    data: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    schedule: Any = MISSING
    budget: Any = MISSING
    probe: Any = field(default_factory=dict)
    logger: Any = field(default_factory=dict)
    paths: Any = MISSING

    seed: int = 0
    batch_size: int = 128  # over all devices and accumulation steps together
    accumulation: int = 1
    label_smoothing: float = 0.0
    mix: str = "none"
    class_weights: bool = False
    clip_norm: float = 0.0  # 0: no clipping
    freeze: Any = "none"  # none | norm_affine | list of parameter-name patterns
    bn: str = "local"
    precision: str = "fp32"
    channels_last: bool = False
    compile_model: bool = False
    compile_optimizer: bool = False
    mode: str = "fast"
    selection: str = "last"
    evaluate: Evaluate = field(default_factory=Evaluate)
    target: Target = field(default_factory=Target)

    # Where the values come from.
    source: str = "default"
    tuned: str | None = None
    protocol_name: str = "none"  # filled in by compose, as are the scale and the notes
    scale_name: str = "paper"
    notes: Any = field(default_factory=dict)  # tuned values that no source prints, and why these
    config_warnings: Any = field(default_factory=dict)  # name -> line, of the warnings that need no torch

    # How it is run: nothing below changes a result.
    device: str = "auto"
    threads: int = 0  # 0: as many as torch finds
    workers: int = 2
    keep: str = "weights"
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    warnings: Any = field(default_factory=lambda: dict.fromkeys(WARNINGS, True))  # or true or false, for all
    progress: bool = True
    traceback: bool = False

    # What an overlay says to compose; gone from the composed configuration.
    sources: Any = field(default_factory=dict)
    replace: Any = field(default_factory=dict)  # {model: {resnet34: resnet20}}: choose the other instead
    set_if_present: Any = field(default_factory=dict)  # {data.synthetic: 64}: set if the chosen option has the key
    shrink: Any = field(default_factory=dict)  # {epochs: 10, steps: 4000}: the longest budget of each kind


RANGES: dict[str, Any] = {
    "seed": "[0, inf)",
    "batch_size": "[1, inf)",
    "accumulation": "[1, inf)",
    "label_smoothing": "[0, 1)",
    "mix": ["none", "cutmix"],
    "clip_norm": "[0, inf)",
    "bn": ["local", "sync"],
    "precision": ["fp32", "tf32", "bf16"],
    "mode": ["fast", "reference"],
    "selection": ["last", "best_validation"],
    "evaluate.every_epochs": "[1, inf)",
    "evaluate.batch_size": "[1, inf)",
    "target.value": "(-inf, inf)",
    "source": ["default", "text", "code"],
    "threads": "[0, 1024]",
    "workers": "[0, 1024]",
    "keep": ["none", "weights", "all"],
    "checkpoint.every_steps": "[0, inf)",
    "checkpoint.every_minutes": "(0, inf)",
}
