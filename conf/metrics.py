"""What each task measures: every metric's unit and direction, from conf/task/*.yaml, before torch is imported."""

import re
from dataclasses import dataclass
from functools import lru_cache

from conf import groups
from conf.errors import UsageError, unknown

SPLITS = ("train", "validation", "test")  # a result's metrics are named <split>_<metric>


@dataclass(frozen=True)
class Metric:
    """unit: of its numbers. sign: 1 where more is better, -1 where less is."""

    unit: str
    sign: int


@lru_cache
def of_task(task: str) -> dict[str, Metric]:
    """Return all that a task measures; `auc_{class}` is one metric a class."""
    listed = groups.raw("task", task)["metrics"].items()
    return {name: Metric(said["unit"], {"higher": 1, "lower": -1}[said["better"]]) for name, said in listed}


def selects(task: str) -> str:
    """Return the metric by which one of a task's epochs is the best."""
    return str(groups.raw("task", task)["selects"])


def measured(task: str, num_classes: int) -> list[str]:
    """Return the names of all that a task measures on a split."""
    numbers = range(num_classes)
    return [one for name in of_task(task) for one in dict.fromkeys(name.replace("{class}", str(n)) for n in numbers)]


def parted(name: str) -> tuple[str, str]:
    """Part `test_top1` into split and metric; the split of a bare `top1` is empty."""
    split, _, metric = name.partition("_")
    return (split, metric) if split in SPLITS else ("", name)


def metric(name: str) -> Metric:
    """Return unit and direction of a metric, named with its split (`test_top1`) or without; or raise UsageError."""
    known = {bare: found for task in groups.TASKS for bare, found in of_task(task).items()}
    bare = parted(name)[1]
    pattern = re.sub(r"_\d+$", "_{class}", bare)
    if not {bare, pattern} & known.keys():
        raise unknown("metric", name, known)
    return known[bare if bare in known else pattern]


def target(name: str, task: str, num_classes: int, has_validation: bool, tests: bool) -> None:
    """Raise UsageError, one line, unless the runs of a task log `name`, bare or with its split.

    tests: whether they read the test split after an epoch.
    """
    split, bare = parted(name)
    names = measured(task, num_classes)
    if bare not in names:
        raise unknown("target.metric", name, names)
    if split == "validation" and not has_validation:
        raise UsageError(
            f"target.metric: {name!r} needs a validation split; set data.validation, e.g. data.validation=0.1"
        )
    if not tests and (split == "test" or (not split and not has_validation)):
        raise UsageError(f"target.metric: {name!r} is of the test split; evaluate.test=selected reads it at the end")
