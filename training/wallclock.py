"""RMSGD's fairness rule: everyone trains for the time that a reference optimizer's epochs take on this machine."""

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from training.budget import WallclockOf


def fix_budget(trainer: Any, stored: Any, optimizer: Callable[[str], dict[str, Any]], follower: Any, stop: Any) -> None:
    """Give a `wallclock_of` budget its seconds, before the first step; any other budget is left alone.

    stored: where the reference's seconds are read and written, so that every rival gets the same. If there are none,
    the reference (`optimizer` of its name) trains four epochs, the first of which warms up, and leaves no other trace.
    """
    budget = trainer.budget
    if not isinstance(budget, WallclockOf):
        return
    seconds = trainer.world.tell(stored.read())
    if seconds is None:
        rival = type(trainer)(_rival(trainer.config, optimizer(budget.reference)), trainer.world, trainer.device)
        rival.fit(follower, stop)
        seconds = stored.write(budget.epochs * statistics.median(rival.epoch_seconds[1:]))
    trainer.budget = replace(budget, seconds=trainer.world.tell(seconds))
    trainer.run.log(f"budget: {trainer.budget.seconds:.3f} s, {budget.epochs} epochs of {budget.reference}")


def _rival(config: dict[str, Any], optimizer: dict[str, Any]) -> dict[str, Any]:
    quiet = {"progress": False, "logger": {}, "probe": {}, "canaries": {}, "selection": "last"}
    epochs = {"name": "epochs", "target": "training.budget.Epochs", "version": 1, "epochs": 4}
    evaluate = {"evaluate": {"every_epochs": 4, "batch_size": config["evaluate"]["batch_size"]}}
    return config | quiet | evaluate | {"optimizer": optimizer, "budget": epochs}
