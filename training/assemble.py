"""From a composed configuration to the parts of a run that are this room's own."""

from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.budget import Budget
from training.objective import OBJECTIVES
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


def objective(config: dict[str, Any]) -> Any:
    """Build the objective of the data set's task; only the options that the task knows are set (conf/rules.py)."""
    task = config["data"]["task"]
    keywords = {"label_smoothing": config["label_smoothing"]} if config["label_smoothing"] else {}
    return OBJECTIVES[task](num_classes=config["data"]["num_classes"], **keywords)


def place(config: dict[str, Any]) -> dict[str, Any]:
    """Return where data lie and in what form batches are wanted, as data.load takes it."""
    return {
        "root": Path(config["paths"]["data"]),
        "cache": Path(config["paths"]["cache"]),
        "dtype": torch.bfloat16 if config["precision"] == "bf16" else torch.float32,
        "channels_last": config["channels_last"],
        "workers": config["workers"],
    }


def synchronised(model: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Under DDP let only the last backward pass of an accumulation average the gradients."""
    return nullcontext() if last or not hasattr(model, "no_sync") else model.no_sync()
