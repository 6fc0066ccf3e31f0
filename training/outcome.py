"""What a finished run says of itself, beside what the record adds."""

from typing import Any

from torch import Tensor

from training import contract, timing
from training.stop import NoEpochCounts


def settle(trainer: Any) -> dict[str, Tensor]:
    """Give the net the selected epoch's weights, and see that this epoch has a test score. Returns the weights.

    Raises NoEpochCounts where no epoch was selected.
    """
    chosen = trainer.selection
    if chosen.row is None:
        limit, first = f"{trainer.budget.seconds:.3g} s", trainer.epoch_seconds[0]
        raise NoEpochCounts(
            f"no epoch that can be selected ended within the budget of {limit}; the first took {first:.3g} s"
        )
    contract.to_evaluate(trainer.optimizer)
    if chosen.weights is not None:
        trainer.model.load_state_dict(chosen.weights)
    if f"test_{chosen.metric}" not in chosen.row:
        chosen.row |= trainer.scores()
    return trainer.model.state_dict()


def outcome(trainer: Any, state: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Describe a run that is `done` or `diverged` (seconds, bytes, percent); returns the weights with it.

    A diverged run has the metrics of the last epoch that it finished and the weights that it broke down with.
    """
    weights = settle(trainer) if state == "done" else trainer.model.state_dict()
    row = trainer.selection.row or {}
    budget = trainer.budget
    result = {
        "state": state,
        "metrics": {key: value for key, value in row.items() if key not in ("epoch", "step", "seconds")},
        "selection": trainer.config["selection"],
        "selected": {key: row.get(key) for key in ("epoch", "step", "seconds")},
        "best_on_test": trainer.selection.best_test,
        "target": trainer.config["target"] | {"reached": trainer.reached},
        "steps": trainer.step,
        "epochs": trainer.step / trainer.steps_per_epoch,
        "budget_seconds": budget.seconds if budget.timed else None,
        "time": {
            "train_seconds": trainer.clock.seconds,
            "epoch_seconds": timing.spread(trainer.epoch_seconds),
            "step_seconds": timing.spread(trainer.step_seconds),
        },
        "memory": {
            "peak_bytes": timing.peak_bytes(trainer.device),
            "optimizer_bytes": timing.optimizer_bytes(trainer.optimizer),
        },
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "groups": trainer.groups,
        "frozen": trainer.frozen,
        "data_fingerprint": trainer.data.fingerprint,
    }
    return result, weights


def crossing(target: dict[str, Any], sign: int, row: dict[str, Any]) -> dict[str, Any] | None:
    """Return where an epoch's row reached a target (epoch, step, seconds, value), None if it did not; a NaN never does.

    target.metric: with its split, or bare: of the validation split where there is one, else of the test split.
    sign: 1 where more of it is better, -1 where less is.
    """
    metric, value = target["metric"], target["value"]
    names = (metric, f"validation_{metric}", f"test_{metric}")
    name = next((name for name in names if name in row), None)
    if name is None or not sign * row[name] >= sign * value:
        return None
    return {key: row[key] for key in ("epoch", "step", "seconds")} | {"metric": name, "value": row[name]}
