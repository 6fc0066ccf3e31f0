"""The metric of rectangle depth estimation against a loop over images and rectangles."""

import pytest
import torch

from training.tasks.base import Turn
from training.tasks.depth import Depth

K, SIDE = 5, 12


def scenes(count, unit=K):
    """Number maps in which some rectangles are missing, their depths, and predictions that often come near."""
    generator = torch.Generator().manual_seed(1)
    number = torch.randint(K + 1, (count, SIDE, SIDE), generator=generator)
    number[0] = 0  # no rectangle at all
    number[1][number[1] > 2] = 0
    levels = torch.randint(1, K + 1, (count, K + 1), generator=generator)
    levels[:, 0], levels[:, 1] = 0, 1  # some rectangle lies on the background
    number[2:, 0, 0] = 1
    depth = levels.gather(1, number.flatten(1)).view_as(number) / unit
    offset = 0.8 / unit * torch.randn(count, K + 1, generator=generator)
    noise = 0.5 / unit * torch.randn(count, SIDE, SIDE, generator=generator)
    outputs = depth + offset.gather(1, number.flatten(1)).view_as(number) * (torch.arange(count) % 3)[:, None, None]
    return (outputs + noise)[:, None], torch.stack((number.float(), depth), 1)


def by_hand(outputs, targets, unit):
    images, rectangles = [], []
    for output, (number, depth) in zip(outputs[:, 0].double(), targets.double(), strict=True):
        verdicts = []
        for label in number.unique()[number.unique() > 0]:
            seen = number == label
            verdicts.append(bool((output[seen].mean() - depth[seen][0]).abs() < 0.5 / unit))
        images.append(all(verdicts))
        rectangles += verdicts
    return 100 * sum(images) / len(images), 100 * sum(rectangles) / len(rectangles)


@pytest.mark.parametrize("unit", [K, 20])
def test_the_metric_is_the_rule_word_for_word(unit):
    outputs, targets = scenes(90, unit)
    objective = Depth(num_classes=K)
    meter = objective.meter()
    for output, target in zip(outputs.split(37), targets.split(37), strict=True):
        objective.count(output, target, meter)
    result = meter.result()
    accuracy, rectangle_accuracy = by_hand(outputs, targets, unit)
    assert 20 < accuracy < rectangle_accuracy < 95  # the scenes tell the two apart
    assert result["accuracy"] == pytest.approx(accuracy)
    assert result["rectangle_accuracy"] == pytest.approx(rectangle_accuracy)
    assert result["mse"] == result["loss"] == pytest.approx((outputs[:, 0] - targets[:, 1]).square().mean().item())
    assert set(result) == {"loss", "mse", "accuracy", "rectangle_accuracy"}


@pytest.mark.parametrize(("miss", "right"), [(0.0, 100), (0.124, 100), (-0.124, 100), (0.126, 0), (-0.126, 0)])
def test_right_means_within_half_a_level(miss, right):
    depth = torch.zeros(1, 4, 4)
    depth[:, :2] = 0.25
    targets = torch.stack(((depth > 0).float(), depth), 1)
    outputs = depth[:, None].clone()
    outputs[:, :, 0] += 2 * miss  # half of the rectangle's pixels: their mean is what counts
    outputs[:, :, 2:] = 9.0  # the background is not counted
    meter = Depth(4).meter()
    Depth(4).count(outputs, targets, meter)
    assert meter.result()["accuracy"] == right


def test_the_loss_is_the_mean_squared_error_in_float32():
    outputs, targets = scenes(4)
    outputs = outputs.bfloat16().requires_grad_()
    loss = Depth(K).loss(lambda x: x, (outputs, targets), Turn())
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(
        outputs.grad[:, 0].float(), 2 * (outputs[:, 0].float() - targets[:, 1]) / outputs.numel(), rtol=1e-2, atol=1e-6
    )
