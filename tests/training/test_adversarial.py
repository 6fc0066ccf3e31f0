"""Attacks against their closed form on linear nets, and what they leave alone."""

import pytest
import torch
from torch import nn

from conf.metrics import of_task
from training.meter import Meter
from training.runtime import Model
from training.tasks.adversarial import Adversarial
from training.tasks.base import Turn
from training.tasks.classification import Multiclass

CPU = torch.device("cpu")
NORMALISE = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
SHAPE = (3, 4, 4)


class Linear(nn.Module):
    """Two logits that are linear in the images."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(48, generator=torch.Generator().manual_seed(seed)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score = x.flatten(1) @ self.weight
        return torch.stack((-score, score), 1)


def model(net: nn.Module) -> Model:
    return Model(net, net, "fp32", CPU)


def task(norm: str, epsilon: float = 8.0, steps: int = 20, **more) -> Adversarial:
    threat = {"norm": norm, "epsilon": epsilon, "steps": steps, **more}
    return Adversarial(2, threat | {"random_start": True}, threat, normalise=NORMALISE)


def lengths(x: torch.Tensor) -> torch.Tensor:
    return x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def pixels(x: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(NORMALISE[key]).view(-1, 1, 1) for key in ("mean", "std"))
    return x * std + mean


def images(count: int = 6, middle: bool = True) -> torch.Tensor:
    """Normalised images; middle: of pixels in [0.3, 0.7], which no small change takes out of the range."""
    drawn = torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1))
    drawn = 0.3 + 0.4 * drawn if middle else drawn
    mean, std = (torch.tensor(NORMALISE[key]).view(-1, 1, 1) for key in ("mean", "std"))
    return (drawn - mean) / std


@pytest.mark.parametrize(("norm", "direction"), [("linf", "gradient"), ("l2", "gradient"), ("l2", "sign")])
@pytest.mark.parametrize("start", ["train", "test"])
def test_the_attack_on_a_linear_net_is_the_worst_there_is(norm, direction, start):
    """Epsilon times the sign of the gradient in the pixels, or its direction; l2 steps by sign end on the sign's."""
    net, inputs, targets = Linear(), images(), torch.tensor([0, 1, 1, 0, 0, 1])
    made = task(norm, direction=direction, steps=40, step_size=8.0)
    found, kept = made.attacked(model(net), (inputs, targets), getattr(made, start))
    std = torch.tensor(NORMALISE["std"]).view(-1, 1, 1)
    slope = (1 - 2 * targets).view(-1, 1, 1, 1) * (net.weight.detach().view(SHAPE) / std)
    along = slope.sign() if direction == "sign" else slope
    worst = slope.sign() if norm == "linf" else along / lengths(along)
    torch.testing.assert_close((pixels(found) - pixels(inputs)) * 255 / 8, worst, rtol=0, atol=1e-3)
    assert kept is targets


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("start", ["train", "test"])
def test_an_attacked_image_is_in_the_ball_and_in_the_range_of_pixels(norm, start):
    made, inputs = task(norm, epsilon=100.0, steps=3), images(middle=False)
    found, _ = made.attacked(model(Linear()), (inputs, torch.zeros(6, dtype=torch.long)), getattr(made, start))
    change = pixels(found) - pixels(inputs)
    assert float(change.abs().max() if norm == "linf" else lengths(change).max()) <= 100 / 255 * (1 + 1e-5)
    assert -1e-6 <= float(pixels(found).min()) <= float(pixels(found).max()) <= 1 + 1e-6
    assert float(pixels(found).min()) < 1e-6  # and it goes to the end of the range


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_without_a_budget_it_is_plain_classification(norm):
    batch, net = (images(), torch.tensor([0, 1, 1, 0, 0, 1])), Linear()
    turns, losses = [Turn(meter=Meter()) for _ in range(2)], []
    for made, turn in zip((task(norm, epsilon=0.0), Multiclass(2)), turns, strict=True):
        losses.append(made.loss(model(net), batch, turn))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=0)
    assert turns[0].meter.result() == pytest.approx(turns[1].meter.result(), rel=1e-6)


def test_a_start_is_drawn_in_training_alone_and_anew_from_the_generator():
    made, batch = task("l2", steps=0), (images(), torch.zeros(6, dtype=torch.long))
    torch.manual_seed(0)
    one, two = (made.attacked(model(Linear()), batch, made.train)[0] for _ in range(2))
    torch.manual_seed(0)
    again = made.attacked(model(Linear()), batch, made.train)[0]
    assert torch.equal(one, again)
    assert not torch.equal(one, two)
    torch.testing.assert_close(made.attacked(model(Linear()), batch, made.test)[0], batch[0])


def test_batch_norm_sees_attacked_images_once_and_the_mode_stays():
    norm = nn.BatchNorm2d(3, momentum=1.0)
    net = nn.Sequential(norm, nn.Dropout(0.5), nn.Flatten(), nn.Linear(48, 2))
    made, batch = task("linf"), (images(), torch.tensor([0, 1, 1, 0, 0, 1]))
    torch.manual_seed(5)
    found, _ = made.attacked(model(net), batch, made.train)
    assert int(norm.num_batches_tracked) == 0
    torch.manual_seed(5)
    made.loss(model(net), batch, Turn(meter=Meter())).backward()
    assert int(norm.num_batches_tracked) == 1
    torch.testing.assert_close(norm.running_mean, found.mean((0, 2, 3)))
    assert all(module.training for module in net.modules())
    made.attacked(model(net.eval()), batch, made.train)
    assert not any(module.training for module in net.modules())


def test_an_attack_leaves_no_gradient_and_an_evaluation_measures_both(monkeypatch):
    net = Linear()
    made, batch = task("linf", epsilon=64.0), (images(64), torch.randint(2, (64,)))
    made.attacked(model(net), batch, made.train)
    assert net.weight.grad is None
    meter = made.meter()
    with torch.no_grad():
        made.evaluate(model(net), [batch, (batch[0][:3], batch[1][:3])], meter)
    found = meter.result()
    assert set(found) == set(of_task("adversarial"))
    assert found["attacked_top1"] < found["top1"]
    assert found["attacked_loss"] > found["loss"]
