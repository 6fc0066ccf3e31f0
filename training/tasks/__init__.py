"""The tasks: one file a family, chosen by the data set's `task`; `training/tasks/base.py` says what a task is."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from torch import Tensor

from training.tasks.base import Meter, Split, Supervised, Task, evaluate
from training.tasks.classification import Binary, Multiclass
from training.tasks.depth import Depth
from training.tasks.multilabel import Multilabel, inverse_frequency

__all__ = ["TASKS", "Meter", "Split", "Task", "build", "evaluate"]

TASKS: dict[str, type[Supervised]] = {
    "multiclass": Multiclass,
    "binary": Binary,
    "multilabel": Multilabel,
    "depth": Depth,
}


class InMemory(Protocol):
    """A split whose targets are all at hand."""

    targets: Tensor


def build(config: Mapping[str, Any], train: Split) -> Task:
    """Build the task of a run's data set; conf/validate.py has checked that it knows the options that are set.

    config: the composed configuration. train: the training split; class weights are computed from its `targets`, which
    a split that is held in memory has.
    """
    keywords: dict[str, Any] = {"label_smoothing": config["label_smoothing"]} if config["label_smoothing"] else {}
    if config["class_weights"]:
        keywords["class_weights"] = inverse_frequency(cast(InMemory, train).targets)
    return TASKS[config["data"]["task"]](num_classes=config["data"]["num_classes"], **keywords)
