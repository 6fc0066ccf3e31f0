"""The state of a run: what a checkpoint holds of it, and when an epoch's end is pending."""

import pytest
import torch
from torch import nn

from training.budget import Clock, Epochs
from training.checkpoints import Checkpoints
from training.distribution import World
from training.selection import Selection
from training.state import TrainState
from training.tasks.classification import Multiclass

CPU = torch.device("cpu")


def fresh() -> TrainState:
    selection = Selection("best_validation", "top1", 1, timed=False)
    return TrainState(Epochs(3), 4, Clock(), Multiclass(3).meter(), selection)


def trained() -> TrainState:
    state, net = fresh(), nn.Linear(2, 3)
    for _ in range(4):
        with state.counted_step():
            pass
    state.count_epoch(7.0)
    row = {"epoch": 1, "step": 4, "seconds": 7.0, "validation_top1": 50.0, "test_top1": 40.0}
    state.selection.update(row, True, net)
    state.look_at_target({"epoch": 1})
    state.look_at_target({"epoch": 2})  # the first is kept
    Multiclass(3).count(torch.randn(5, 3), torch.zeros(5, dtype=torch.int64), state.meter)
    return state


class Kept:
    """A folder with one checkpoint, or none."""

    def __init__(self, saved: dict | None) -> None:
        self.saved = saved

    def load_checkpoint(self) -> dict | None:
        return self.saved

    def save_checkpoint(self, state, step: int, *, required: bool = False) -> bool:
        self.saved = dict(state)
        return True


def checkpoints(state: TrainState, net: nn.Module, folder: Kept) -> Checkpoints:
    return Checkpoints(folder, state, net, {"model": net}, World())


def test_a_state_comes_back_from_its_checkpoint() -> None:
    state, net, other = trained(), nn.Linear(2, 3), nn.Linear(2, 3)
    folder, back = Kept(None), fresh()
    checkpoints(state, net, folder).save()
    assert checkpoints(back, other, folder).resume(CPU)
    assert (back.step, back.ended_at, back.epoch_seconds, back.clock.seconds) == (4, 4, [7.0], 7.0)
    assert (back.reached, back.selection.row) == ({"epoch": 1}, state.selection.row)
    assert back.meter.result() == state.meter.result()
    assert torch.equal(other.weight, net.weight)
    assert back.step_seconds == []  # of the process that took them


def test_without_a_checkpoint_nothing_changes() -> None:
    assert not checkpoints(fresh(), nn.Linear(2, 3), Kept(None)).resume(CPU)


def test_another_format_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(ValueError, match="format 2, this version of stepbench reads 3"):
        checkpoints(fresh(), nn.Linear(2, 3), Kept({"format": 2})).resume(CPU)


def test_an_epochs_end_is_pending_once_its_last_step_is_taken() -> None:
    state = fresh()
    seen = []
    for _ in range(4):
        seen.append(state.epoch_end_pending())
        with state.counted_step():
            pass
    assert seen == [False] * 4
    assert state.epoch_end_pending()
    state.count_epoch(1.0)
    assert not state.epoch_end_pending()
    assert (state.epoch, state.over(), state.total_steps) == (1, False, 12)


def test_a_step_that_fails_is_not_counted() -> None:
    state = fresh()
    with pytest.raises(ZeroDivisionError), state.counted_step():
        _ = 1 / 0
    assert (state.step, state.step_seconds) == (0, [])
