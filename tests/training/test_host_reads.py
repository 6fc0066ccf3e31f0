"""On a GPU no batch waits for the device: meters, losses, augmentation (see tests/optim/test_host_reads.py)."""

import pytest
import torch
from torch import nn

from data.augment import Augment, Transform
from tests.fake_cuda import READS, FakeTensorMode
from training.distribution import World
from training.losses import Losses
from training.mixing import pasted
from training.tasks.base import Meter, Turn
from training.tasks.classification import Binary, Multiclass
from training.tasks.multilabel import Multilabel


@pytest.fixture
def on_cuda():
    with FakeTensorMode(), torch.device("cuda"):
        yield


def batch(task) -> tuple[torch.Tensor, torch.Tensor]:
    targets = torch.zeros(8, 4) if isinstance(task, Multilabel) else torch.zeros(8, dtype=torch.long)
    return torch.randn(8, 6), targets


@pytest.mark.parametrize(
    "make", [lambda: Multiclass(4), lambda: Multiclass(4, 0.1), lambda: Binary(2), lambda: Multilabel(4)]
)
def test_losses_meters_and_evaluations(on_cuda, make):
    task = make()
    net = nn.Linear(6, task.num_classes)
    meter = task.meter()
    with torch.no_grad():
        task.loss(net, batch(task), Turn(meter=meter))
        task.evaluate(net, [batch(task)] * 2, meter)
    assert meter.sums["loss"].device.type == "cuda"
    meter.reduce(World())
    with pytest.raises(READS):
        meter.result()  # the one place that waits


def test_a_read_in_a_meter_is_caught(on_cuda):
    class Reader(Meter):
        def update(self, values, scores=None):
            super().update({name: value + value.sum().item() for name, value in values.items()}, scores)

    with pytest.raises(READS):
        Reader().update({"loss": torch.zeros(8)})


def test_the_loss_is_kept_and_not_looked_at(on_cuda):
    losses = Losses(nn.Linear(3, 2), every_steps=1)
    for step in range(1, 40):
        losses.add(step, torch.zeros(()))


def test_augmentation(on_cuda):
    augment = Augment(crop_padding=4, flip="horizontal", rotation=10.0, cutout=8)
    transform = Transform({"mean": [0.5] * 3, "std": [0.2] * 3}, augment, device="cuda", channels_last=True)
    images = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    assert transform(images, torch.rand(8, 7)).device.type == "cuda"
    assert transform(images).device.type == "cuda"


def test_cutmix(on_cuda):
    """Its box is drawn on the CPU; what follows is on the device."""
    other, box = torch.arange(8, device="cpu"), (slice(1, 4), slice(0, 2))
    inputs, targets = pasted(torch.zeros(8, 3, 6, 6), torch.zeros(8, dtype=torch.long), other, *box, num_classes=4)
    assert (inputs.device.type, targets.device.type) == ("cuda", "cuda")
    assert (inputs.shape, targets.shape) == ((8, 3, 6, 6), (8, 4))
