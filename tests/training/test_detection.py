"""Average precision against a plain loop over COCO's definition, and what a task of boxes asks of its parts."""

import numpy as np
import pytest
import torch

from models.detection import centernet_small
from training.meter import Meter
from training.mixing import split
from training.runtime import Model
from training.tasks.base import Turn
from training.tasks.detection import Detection, average_precision

CPU = torch.device("cpu")


def scenes(seed: int, images: int = 12) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return found and true boxes: the true ones shaken, some missing, some where nothing is, and a crowd."""
    generator = np.random.default_rng(seed)
    found, truths = [], []
    for _ in range(images):
        corner, sides = generator.uniform(0, 60, (4, 2)), generator.uniform(10, 40, (4, 2))
        true = np.concatenate((corner, corner + sides, generator.integers(0, 2, (4, 1)), np.zeros((4, 1))), 1)
        true[3, 5] = generator.integers(0, 2)
        shaken = true[:3, :4] + generator.normal(0, 2, (3, 4))
        stray = np.concatenate((corner[:2] + 9, corner[:2] + 9 + sides[:2]), 1)
        every = np.concatenate((shaken, stray))
        labels = np.concatenate((true[:3, 4], generator.integers(0, 2, 2)))
        rows = np.concatenate((every, generator.uniform(0, 1, (5, 1)), labels[:, None]), 1)
        found.append(torch.from_numpy(np.concatenate((rows, -np.ones((1, 6))))))
        truths.append(torch.from_numpy(np.concatenate((true, -np.ones((2, 6))))))
    return found, truths


def overlap(one, other, crowd) -> float:
    width, height = (max(0.0, min(one[2 + k], other[2 + k]) - max(one[k], other[k])) for k in (0, 1))
    area, rest = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (area if crowd else area + rest - width * height)


def by_loops(found, truths, threshold: float) -> float:
    """COCO's AP at one overlap: greedy by score, a crowd's matches do not count, precision at 101 recalls."""
    means = []
    for label in (0, 1):
        hits, total = [], 0
        for boxes, rows in zip(found, truths, strict=True):
            true = sorted((row for row in rows.tolist() if row[4] == label), key=lambda row: row[5])
            total, free = total + sum(not row[5] for row in true), [True] * len(true)
            for box in sorted((box for box in boxes.tolist() if box[5] == label), key=lambda box: -box[4]):
                best, chosen = min(threshold, 1 - 1e-10), None
                for number, row in enumerate(true):
                    if not (free[number] or row[5]) or (chosen is not None and not true[chosen][5] and row[5]):
                        continue
                    if (shared := overlap(box, row, row[5])) >= best:
                        best, chosen = shared, number
                if chosen is not None:
                    free[chosen] = False
                if chosen is None or not true[chosen][5]:
                    hits.append((-box[4], chosen is not None))
        right = np.cumsum([hit for _, hit in sorted(hits)])
        recall, precision = right / total, right / np.arange(1, len(hits) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        means.append(np.mean([envelope[place] if place < len(envelope) else 0.0 for place in places]))
    return float(np.mean(means))


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_its_definition_and_does_not_depend_on_the_sides_scale(seed):
    found, truths = scenes(seed)
    assert any(bool((rows[:, 5] == 1).any()) for rows in truths)
    values = [by_loops(found, truths, threshold) for threshold in np.linspace(0.5, 0.95, 10)]
    expected = [float(np.mean(values)), values[0], values[5]]
    assert 0.1 < expected[0] < expected[1] < 1
    assert average_precision(found, truths) == pytest.approx(expected, rel=1e-10)
    wide = torch.tensor([3.0, 0.5, 3.0, 0.5, 1, 1], dtype=torch.float64)
    stretched = ([torch.where(rows < 0, rows, rows * wide) for rows in side] for side in (found, truths))
    assert average_precision(*stretched) == pytest.approx(expected, rel=1e-10)


def test_all_found_is_one_and_nothing_found_is_zero():
    _, truths = scenes(0)
    exact = [rows[(rows[:, 4] >= 0) & (rows[:, 5] == 0)] for rows in truths]
    found = [torch.cat((rows[:, :4], torch.ones(len(rows), 1), rows[:, 4:5]), 1) for rows in exact]
    assert average_precision(found, truths) == [1.0] * 3
    assert average_precision([torch.full((1, 6), -1.0)] * len(truths), truths) == [0.0] * 3


def test_batches_of_other_numbers_of_boxes_are_parted_and_measured_together():
    net = centernet_small(2)
    model, task = Model(net, net, "fp32", CPU), Detection()
    batches = []
    for number, most in enumerate((3, 1)):
        truths = torch.tensor([[4.0, 6, 30, 22, 1, 0]] * most).expand(2, most, 6).clone()
        truths[1, -1] = -1
        batches.append((torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(number)), truths))
    pieces = split(batches[0], 2)
    assert [piece[1].shape for piece in pieces] == [(1, 3, 6)] * 2
    training, meter = Meter(), task.meter()
    loss = task.loss(model, batches[0], Turn(meter=training))
    assert training.result() == {"loss": pytest.approx(float(loss.detach()))}
    with torch.no_grad():
        task.evaluate(model, batches, meter)
    result = meter.result("test_")
    assert set(result) == {"test_loss", "test_ap", "test_ap50", "test_ap75"}
    assert all(0 <= result[f"test_{name}"] <= 100 for name in ("ap", "ap50", "ap75"))


def test_without_pycocotools_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr("training.tasks.detection.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pycocotools \(extra detection\) not found; pip install pycocotools"):
        Detection()
