"""From a composed configuration to the parts of a run that are this room's own."""

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from training.budget import Budget
from training.mix import Mix, cutmix, unmixed
from training.objective import OBJECTIVES, inverse_frequency
from training.schedule import Schedule

_LABELS = ("name", "target", "version")


def schedule(options: dict[str, Any]) -> Schedule:
    """Build the schedule that conf/schedule/*.yaml describes."""
    return _built(options)


def budget(options: dict[str, Any]) -> Budget:
    """Build the budget that conf/budget/*.yaml describes."""
    return _built(options)


def _built(options: dict[str, Any]) -> Any:
    module, _, name = options["target"].rpartition(".")
    keywords = {key: value for key, value in options.items() if key not in _LABELS}
    return getattr(import_module(module), name)(**keywords)


def objective(config: dict[str, Any], train: Any) -> Any:
    """Build the objective of the data set's task; conf/validate.py has seen to it that the task knows the options set.

    train: the training split; class weights are taken from its targets.
    """
    keywords: dict[str, Any] = {"label_smoothing": config["label_smoothing"]} if config["label_smoothing"] else {}
    if config["class_weights"]:
        keywords["class_weights"] = inverse_frequency(train.targets)
    return OBJECTIVES[config["data"]["task"]](num_classes=config["data"]["num_classes"], **keywords)


def mix(config: dict[str, Any]) -> Mix:
    """Return what mixes the images of a batch, or leaves them alone."""
    return {"none": unmixed, "cutmix": cutmix(config["data"]["num_classes"])}[config["mix"]]


def place(config: dict[str, Any]) -> dict[str, Any]:
    """Return where data lie and in what form batches are wanted, as data.load takes it."""
    return {
        "root": Path(config["paths"]["data"]),
        "cache": Path(config["paths"]["cache"]),
        "dtype": torch.bfloat16 if config["precision"] == "bf16" else torch.float32,
        "channels_last": config["channels_last"],
        "workers": config["workers"],
    }


def synchronised(model: nn.Module, optimizer: Optimizer, last: bool) -> AbstractContextManager[Any]:
    """Average gradients over the processes in the last backward pass of an accumulation alone, and not at all while
    the optimizer wants this process's own (SAM with ascent=local).
    """
    wanted = last and getattr(optimizer, "sync_gradients", True)
    return nullcontext() if wanted or not hasattr(model, "no_sync") else model.no_sync()
