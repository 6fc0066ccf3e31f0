"""What each task measures: every metric's unit and direction, known before torch is imported."""

import re
from dataclasses import dataclass

from conf.errors import UsageError, unknown

SPLITS = ("train", "validation", "test")  # a result's metrics are named <split>_<metric>


@dataclass(frozen=True)
class Metric:
    """unit: of its numbers. sign: 1 where more is better, -1 where less is."""

    unit: str
    sign: int


METRICS = {
    "loss": Metric("nats", -1),
    "mse": Metric("squared depth", -1),
    **{name: Metric("%", 1) for name in ("top1", "top5", "auc", "auc_logit1")},
    **{name: Metric("%", 1) for name in ("label_accuracy", "accuracy", "rectangle_accuracy")},
}
TASKS = {
    "multiclass": ("loss", "top1", "top5"),
    "binary": ("loss", "top1", "auc", "auc_logit1"),
    "multilabel": ("loss", "label_accuracy", "auc"),  # and auc_<class>, see `measured`
    "depth": ("loss", "mse", "accuracy", "rectangle_accuracy"),  # its loss is the mse
}
SELECTS = {"multiclass": "top1", "binary": "top1", "multilabel": "label_accuracy", "depth": "loss"}  # a task's epochs


def measured(task: str, num_classes: int) -> list[str]:
    """Return the names of all that a task measures on a split."""
    per_class = [f"auc_{index}" for index in range(num_classes)] if task == "multilabel" else []
    return [*TASKS[task], *per_class]


def parted(name: str) -> tuple[str, str]:
    """Part `test_top1` into split and metric; the split of a bare `top1` is empty."""
    split, _, metric = name.partition("_")
    return (split, metric) if split in SPLITS else ("", name)


def metric(name: str) -> Metric:
    """Return unit and direction of a metric, named with its split (`test_top1`) or without; or raise UsageError."""
    bare = re.sub(r"^auc_\d+$", "auc", parted(name)[1])
    if bare not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[bare]


def target(name: str, task: str, num_classes: int, has_validation: bool) -> None:
    """Raise UsageError, one line, unless the runs of a task log `name`, bare or with its split."""
    split, bare = parted(name)
    names = measured(task, num_classes)
    if bare not in names:
        raise unknown("target.metric", name, names)
    if split == "validation" and not has_validation:
        raise UsageError(
            f"target.metric: {name!r} needs a validation split; set data.validation, e.g. data.validation=0.1"
        )
