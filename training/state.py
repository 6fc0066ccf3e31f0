"""All that an exact resume needs, as tensors, numbers and text; the random streams need nothing."""

from typing import Any

FORMAT = 2  # raised when the parts of a state change; 1 had the meter of one process
COUNTERS = ("step", "ended_at", "epoch_seconds", "reached")


def state_of(trainer: Any) -> dict[str, Any]:
    """Return the state of a run at a step's end; every process has to ask for it, since each has counted its share."""
    return {
        "format": FORMAT,
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "meters": trainer.world.gathered([{"sums": trainer.meter.sums, "scores": trainer.meter.scores}]),
        "selection": trainer.selection.state(),
        "clock": trainer.clock.seconds,
        "observer": trainer.observer.state_dict(),
        **{name: getattr(trainer, name) for name in COUNTERS},
    }


def resume(trainer: Any) -> None:
    """Go back to the last checkpoint, if there is one: rank 0 reads it for all.

    Raises ValueError for a checkpoint that another version of this code wrote; nothing of it is lost.
    """
    state = trainer.world.tell(trainer.run.load_checkpoint())
    if state is not None:
        found = state.get("format", 1)
        if found != FORMAT:
            raise ValueError(
                f"its checkpoints have format {found}, this version of stepbench reads {FORMAT}: "
                "go on with the version that wrote them, or delete them to start afresh"
            )
        load_state(trainer, state)
        trainer.run.log(f"resumed at step {trainer.step}")


def load_state(trainer: Any, state: dict[str, Any]) -> None:
    """Put a freshly built run back into a state."""
    trainer.model.load_state_dict(state["model"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    meter = state["meters"][trainer.world.rank]
    trainer.meter.sums.update({name: value.to(trainer.device) for name, value in meter["sums"].items()})
    trainer.meter.scores.extend(tuple(part.to(trainer.device) for part in pair) for pair in meter["scores"])
    trainer.selection.load_state(state["selection"])
    trainer.clock.seconds = state["clock"]
    trainer.observer.load_state_dict(state["observer"])
    for name in COUNTERS:
        setattr(trainer, name, state[name])
