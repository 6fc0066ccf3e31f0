"""Schedules against torch's own, and the warm-up."""

from itertools import pairwise

import pytest
import torch
from torch.optim import lr_scheduler as torchs

from training.schedule import Constant, ConstantCosine, Cosine, Horizon, Linear, MultiStep, RangeTest, Schedule, Step

HORIZON = Horizon(steps_per_epoch=5, total_steps=100)


def rates(schedule: Schedule, horizon: Horizon = HORIZON) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    return [schedule.apply(optimizer, step, horizon) for step in range(horizon.total_steps)]


def torchs_rates(make, every: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    scheduler, found = make(optimizer), []
    for step in range(HORIZON.total_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0:
            scheduler.step()
    return found


def in_two_parts(optimizer):
    parts = [torchs.ConstantLR(optimizer, 1.0), torchs.CosineAnnealingLR(optimizer, 40)]
    return torchs.SequentialLR(optimizer, parts, [60])


@pytest.mark.parametrize(
    ("ours", "theirs", "every"),
    [
        (Step(step_size=4, gamma=0.5), lambda o: torchs.StepLR(o, 4, 0.5), 5),
        (MultiStep(milestones=(3, 11), gamma=0.1), lambda o: torchs.MultiStepLR(o, [3, 11], 0.1), 5),
        (Cosine(), lambda o: torchs.CosineAnnealingLR(o, 100), 1),
        (Cosine(per="epoch"), lambda o: torchs.CosineAnnealingLR(o, 20), 5),
        (Cosine(final=0.1), lambda o: torchs.CosineAnnealingLR(o, 100, eta_min=0.04), 1),
        (ConstantCosine(constant=0.6), in_two_parts, 1),
        (Linear(), lambda o: torchs.LinearLR(o, 1.0, 0.0, 100), 1),
        (Constant(), lambda o: torchs.ConstantLR(o, 1.0), 1),
    ],
    ids=(
        "step",
        "multistep",
        "cosine",
        "cosine by epochs",
        "cosine to a tenth",
        "constant, then cosine",
        "linear",
        "constant",
    ),
)
def test_schedules_equal_torchs(ours: Schedule, theirs, every: int) -> None:
    assert rates(ours) == pytest.approx(torchs_rates(theirs, every), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("words", [{"warmup_epochs": 2.0}, {"warmup_fraction": 0.1}])
def test_the_warm_up_is_a_line_to_the_full_rate(words) -> None:
    found = rates(Cosine(**words))
    assert found[:10] == pytest.approx([0.4 * (step + 1) / 10 for step in range(10)])
    assert found[10] == 0.4
    assert found[-1] < 0.001


def test_a_range_test_multiplies_the_rate_by_one_factor_at_every_step() -> None:
    found = rates(RangeTest(start=1e-4))
    assert (found[0], found[-1]) == (pytest.approx(0.4e-4), pytest.approx(0.4))
    factors = [after / before for before, after in pairwise(found)]
    assert factors == pytest.approx([1e4 ** (1 / 99)] * 99)


def test_a_warm_up_may_start_above_zero() -> None:
    assert rates(Constant(warmup_epochs=1.0, warmup_start=0.5))[:6] == pytest.approx([0.24, 0.28, 0.32, 0.36, 0.4, 0.4])


def test_every_group_keeps_its_own_rate() -> None:
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in (1.0, 0.1)]
    optimizer = torch.optim.SGD(groups, lr=0.5)
    for step in (3, 60):
        Step(step_size=10, gamma=0.5).apply(optimizer, step, HORIZON)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.05]


def test_milestones_behind_the_end_are_told() -> None:
    assert "30" in MultiStep(milestones=(3, 30)).unfinished(HORIZON)
    assert MultiStep(milestones=(3, 11)).unfinished(HORIZON) is None
    assert f"step_size: {HORIZON.epochs}" in Step(step_size=HORIZON.epochs).unfinished(HORIZON)
    assert Step(step_size=HORIZON.epochs - 1).unfinished(HORIZON) is None


@pytest.mark.parametrize("schedule", [Cosine, Step, MultiStep])
def test_a_warm_up_that_outlasts_the_run_is_told(schedule) -> None:
    late, steps = schedule(warmup_epochs=HORIZON.epochs).unfinished(HORIZON), HORIZON.total_steps
    assert late == f"schedule: a warm-up of {steps} steps; the run has {steps}"
