"""Objects and the boxes around them, by COCO's measure.

A batch is (images [B, C, S, S], truths [B, M, 6]): see data/detection.py. The net answers images with one tensor, and
says itself what loss that has and which boxes it shows, [B, K, 6]: edges, score, class; class -1 is no box.
"""

from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.meter import Meter, Scores
from training.mixing import Batch
from training.runtime import Model
from training.tasks.base import Task, Turn


class Net(Protocol):
    """What the task asks of a net, beside its answer."""

    def loss(self, answer: Tensor, truths: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar."""

    def boxes(self, answer: Tensor) -> Tensor:
        """Return the boxes that an answer shows, [B, K, 6]."""


class Detection(Task):
    """Measures loss, and ap, ap50, ap75: average precision in percent, by pycocotools.

    ap: the mean over overlaps from 0.50 to 0.95 (MS-COCO, Lin et al. 2014), ap50 and ap75 at one. Boxes are compared in
    the square that the net sees; overlaps, and so the measures, are those of the image, whatever its shape. The loss is
    over a batch's objects, so accumulation changes it.
    """

    cross_entropy = False

    def __init__(self) -> None:
        """Raises ImportError where pycocotools is missing."""
        if find_spec("pycocotools") is None:
            raise ImportError("task=detection: pycocotools (extra detection) not found; pip install pycocotools")

    def outputs(self, model: Model, batch: Batch) -> Tensor:
        """Return the net's answer in float32."""
        return torch.as_tensor(model(batch[0])).float()

    def loss(self, model: Model, batch: Batch, turn: Turn) -> Tensor:
        """Return the batch's loss, which counts for each of its images."""
        loss = cast(Net, model.net).loss(self.outputs(model, batch), batch[1])
        if turn.meter is not None:
            turn.meter.update({"loss": loss.detach().expand(len(batch[0]))})
        return loss

    def evaluate(self, model: Model, batches: Iterable[Batch], meter: Meter) -> None:
        """Count the loss, and keep the boxes that are found beside the true ones."""
        net = cast(Net, model.net)
        for batch in batches:
            answer = self.outputs(model, batch)
            meter.update({"loss": net.loss(answer, batch[1]).expand(len(answer))}, (net.boxes(answer), batch[1]))

    def derive(self, means: dict[str, Tensor], scores: Scores) -> dict[str, Tensor]:
        """Return the loss and, of an evaluation, the average precision."""
        if not scores:
            return means
        found, truths = ([rows.cpu() for part in side for rows in part] for side in zip(*scores, strict=True))
        precision = torch.tensor(average_precision(found, truths), dtype=torch.float64, device=means["loss"].device)
        return means | dict(zip(("ap", "ap50", "ap75"), 100 * precision, strict=True))

    def example(self, facts: Mapping[str, Any]) -> Tensor | None:
        """Return two blank images."""
        return torch.zeros(2, facts["in_channels"], facts["image_size"], facts["image_size"])


def average_precision(found: list[Tensor], truths: list[Tensor]) -> list[float]:
    """Return AP, AP50 and AP75 of images' found [K, 6] and true boxes [M, 6]; 0 where nothing is found."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    shown, real = _rows(found, 5), _rows(truths, 4)
    if not len(shown):
        return [0.0] * 3
    truth = COCO()
    truth.dataset = {
        "images": [{"id": number} for number in range(len(truths))],
        "categories": [{"id": label} for label in sorted({int(row[5]) for row in real})],
        "annotations": [
            {"id": number, "image_id": int(row[0]), "bbox": row[1:5], "area": row[3] * row[4]}
            | {"category_id": int(row[5]), "iscrowd": int(row[6])}
            for number, row in enumerate(real.tolist(), start=1)  # pycocotools takes an id of 0 for no match
        ],
    }
    with redirect_stdout(StringIO()):
        truth.createIndex()
        measure = COCOeval(truth, truth.loadRes(shown), "bbox")
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    return [float(value) for value in measure.stats[:3]]


def _rows(images: list[Tensor], label: int) -> NDArray[np.float64]:
    """Return rows of image, left, top, width, height and the rest, of those whose class, in column `label`, is one."""
    kept = [boxes[boxes[:, label] >= 0].double() for boxes in images]
    numbers = torch.repeat_interleave(torch.arange(len(kept)), torch.tensor([len(boxes) for boxes in kept]))
    every = torch.cat(kept)
    return torch.cat((numbers[:, None], every[:, :2], every[:, 2:4] - every[:, :2], every[:, 4:]), 1).numpy()
