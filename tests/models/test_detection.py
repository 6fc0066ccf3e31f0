"""Detectors against the formulas of CenterNet and against torchvision's own SSD."""

import math

import pytest
import torch
from torch import nn

import models
from models import detection
from models.detection import CenterNet, centernet_small

# Two images: three boxes, one of them a crowd's; one box. Edges, class, crowd.
TRUTHS = torch.tensor(
    [
        [[4.0, 6, 30, 22, 1, 0], [18, 3, 29, 31, 0, 0], [0, 0, 32, 32, 1, 1]],
        [[9.5, 8.25, 17, 27, 1, 0], [-1] * 6, [-1] * 6],
    ]
)


def small(classes: int = 2) -> CenterNet:
    torch.manual_seed(0)
    return centernet_small(classes)


def by_loops(net: CenterNet, answer: torch.Tensor) -> float:
    """CenterNet's loss (Zhou et al. 2019, Eq. 1 to 4), a number at a time, in float64."""
    classes, side, focal, size, offset, objects = net.num_classes, answer.shape[-1], 0.0, 0.0, 0.0, 0
    for image in range(len(answer)):
        wanted = torch.zeros(classes, side, side, dtype=torch.float64)
        for left, top, right, bottom, label, crowd in (TRUTHS[image] / torch.tensor([4, 4, 4, 4, 1, 1])).tolist():
            if label < 0 or crowd:
                continue
            width, height, x, y = right - left, bottom - top, (left + right) / 2, (top + bottom) / 2
            b, c = -2 * 0.7 * (height + width), (0.7 - 1) * width * height  # of 4 * 0.7 r^2 + b r + c
            radius = int((b + math.sqrt(b * b - 4 * (4 * 0.7) * c)) / 2)
            for row in range(side):
                for column in range(side):
                    down, across = row - int(y), column - int(x)
                    if max(abs(down), abs(across)) <= radius:
                        value = math.exp(-(down**2 + across**2) / (2 * ((2 * radius + 1) / 6) ** 2))
                        wanted[int(label), row, column] = max(value, float(wanted[int(label), row, column]))
            found = answer[image, classes:, int(y), int(x)].tolist()
            size += abs(found[0] - width) + abs(found[1] - height)
            offset += abs(found[2] - (x - int(x))) + abs(found[3] - (y - int(y)))
            objects += 1
        for logit, value in zip(answer[image, :classes].flatten().tolist(), wanted.flatten().tolist(), strict=True):
            p = 1 / (1 + math.exp(-logit))
            focal -= (1 - p) ** 2 * math.log(p) if value == 1 else (1 - value) ** 4 * p**2 * math.log(1 - p)
    return focal / objects + (0.1 * size + offset) / (2 * objects)


def test_centernets_loss_is_its_formula():
    net = small()
    answer = torch.randn(2, 6, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert float(net.loss(answer, TRUTHS.double())) == pytest.approx(by_loops(net, answer), rel=1e-10)


def test_a_batch_without_a_box_has_a_finite_loss():
    net = small()
    answer = net(torch.zeros(1, 3, 32, 32))
    for truths in (torch.full((1, 2, 6), -1.0), torch.zeros(1, 0, 6), TRUTHS[:1, 2:]):
        loss = net.loss(answer, truths)
        assert loss.isfinite()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_boxes_are_read_off_where_they_were_written():
    net = small()
    answer = torch.zeros(2, 6, 8, 8)
    answer[:, :2] = 20 * net.peaks(TRUTHS, answer[:, :2]) - 10
    for image, rows in enumerate(TRUTHS):
        for left, top, right, bottom, _, _ in rows[detection.taught(rows)].tolist():
            x, y = (left + right) / 8, (top + bottom) / 8
            numbers = (right - left) / 4, (bottom - top) / 4, x - int(x), y - int(y)
            answer[image, 2:, int(y), int(x)] = torch.tensor(numbers)
    found = net.boxes(answer)
    assert found.shape == (2, 100, 6)
    for rows, boxes in zip(TRUTHS, found, strict=True):
        true = rows[detection.taught(rows)][:, :5]
        shown = boxes[boxes[:, 4] > 0.9][:, [0, 1, 2, 3, 5]]
        assert sorted(shown.tolist()) == sorted(true.tolist())


def test_parameters_of_centernet():
    """Of ResNet18 without its last layer; of three 3x3 and three transposed 4x4 convolutions; of three heads."""
    net = models.build({"target": "models.detection.centernet_resnet18"}, {"num_classes": 80})
    steps = sum(9 * m * n + 16 * n * n + 4 * n for m, n in ((512, 256), (256, 128), (128, 64)))
    heads = sum(9 * 64 * 64 + 64 + 64 * n + n for n in (80, 2, 2))
    assert sum(p.numel() for p in net.parameters()) == 11_689_512 - 513_000 + steps + heads
    assert net.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 84, 16, 16)


@pytest.fixture(scope="module")
def ssd():
    torch.manual_seed(0)
    return models.build({"target": "models.detection.ssd300_vgg16_bn"}, {"num_classes": 90, "image_size": 300})


@torch.no_grad()
def test_ssd_is_torchvisions(ssd):
    """The same loss and boxes from the same maps; torchvision's parameters, and batch norm's of each convolution."""
    from torchvision.models.detection import SSD300_VGG16_Weights

    theirs = SSD300_VGG16_Weights.COCO_V1.meta["num_params"]
    convolutions = 2 * 64 + 2 * 128 + 3 * 256 + 6 * 512
    assert sum(p.numel() for p in ssd.parameters()) == theirs + 2 * convolutions
    detector, images = ssd.detector, torch.rand(1, 3, 300, 300)
    truths = torch.tensor([[[30.0, 40, 200, 250, 3, 0], [100, 90, 180, 130, 70, 0], [0, 0, 300, 300, 1, 1]]])
    backbone, detector.backbone = detector.backbone, Given(detector.backbone(images))
    try:
        detector.transform.image_mean, detector.transform.image_std = [0.0] * 3, [1.0] * 3
        answer = ssd(images)
        assert answer.shape == (1, 8732, 95)
        targets = [{"boxes": truths[0, :2, :4], "labels": truths[0, :2, 4].long() + 1}]
        assert float(ssd.loss(answer, truths)) == pytest.approx(float(sum(detector([*images], targets).values())))
        assert ssd.loss(answer, torch.full((1, 2, 6), -1.0)) == 0  # no object, and three times as many without one
        (theirs,) = detector.eval()([*images])
        (ours,) = ssd.boxes(answer)
        assert len(theirs["boxes"]) > 0
        torch.testing.assert_close(ours[:, :4], theirs["boxes"])
        assert ours[:, 5].tolist() == (theirs["labels"] - 1).tolist()
    finally:
        detector.backbone = backbone


class Given(nn.Module):
    """A backbone that answers with maps computed before."""

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, x):
        return self.maps


def test_pretrained_weights_are_torchvisions_without_the_classifier(ssd, tmp_path):
    from torchvision.models import resnet18, vgg16_bn

    with torch.device("meta"):
        kept = {name: t.shape for name, t in vgg16_bn().state_dict().items() if not name.startswith(ssd.cut)}
    assert {name: t.shape for name, t in ssd.pretrained_part.state_dict().items()} == kept
    theirs = resnet18()
    torch.save(theirs.state_dict(), tmp_path / "r18.pt")
    options = {"target": "models.detection.centernet_resnet18", "weights": str(tmp_path / "r18.pt")}
    net = models.build(options, {"num_classes": 5})
    assert torch.equal(net.pretrained_part.get_parameter("conv1.weight"), theirs.conv1.weight)
    torch.save({"cut.weight": torch.zeros(1), **theirs.state_dict()}, tmp_path / "r18.pt")
    with pytest.raises(ValueError, match=r"1 names are not in both .* cut\.weight"):
        models.build(options, {"num_classes": 5})


def test_ssd_takes_300_pixels():
    with pytest.raises(ValueError, match=r"data\.image_size: 512, but SSD300"):
        models.build({"target": "models.detection.ssd300_vgg16_bn"}, {"num_classes": 3, "image_size": 512})
