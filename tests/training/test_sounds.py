"""Metrics of tags against scikit-learn, and the mean of several windows."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from torch import nn

from training.runtime import Model
from training.tasks.sounds import Keywords, Tagging

CPU = torch.device("cpu")


def counted(task: Tagging, logits: torch.Tensor, tags: torch.Tensor) -> dict[str, float]:
    meter = task.meter()
    for part in torch.arange(len(logits)).split(7):
        task.count(logits[part], tags[part], meter)
    return meter.result()


def test_areas_and_f1_are_those_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    tags = (torch.rand(60, 5, generator=generator) < 0.3).float()
    logits = torch.randn(60, 5, generator=generator) + tags
    logits = (10 * logits).round() / 10  # with ties
    found = counted(Tagging(5, threshold=0.4), logits, tags)
    y, scores = tags.numpy(), logits.numpy()
    assert found["auc"] == pytest.approx(100 * roc_auc_score(y, scores, average="macro"), rel=1e-9)
    assert found["pr_auc"] == pytest.approx(100 * average_precision_score(y, scores, average="macro"), rel=1e-9)
    assert found["f1"] == pytest.approx(100 * f1_score(y, 1 / (1 + np.exp(-scores)) >= 0.4, average="micro"), rel=1e-6)


def test_a_tag_that_no_sound_has_is_in_no_mean():
    tags = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    found = counted(Tagging(2, threshold=0.5), torch.tensor([[2.0, 1.0], [1.0, 1.0], [0.5, 1.0]]), tags)
    assert found["auc"] == pytest.approx(50)
    assert found["pr_auc"] == pytest.approx(100 * (1 + 2 / 3) / 2)


def test_probabilities_of_several_windows_are_averaged():
    class Sums(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.dim() == 2
            return x.sum(1, keepdim=True).expand(-1, 3)

    net = Sums()
    task, model, sounds = Tagging(3, threshold=0.1), Model(net, net, "fp32", CPU), torch.randn(4, 5, 6)
    expected = sounds.sum(2).sigmoid().mean(1).logit()
    torch.testing.assert_close(task.outputs(model, (sounds, None)), expected[:, None].expand(-1, 3))
    torch.testing.assert_close(task.outputs(model, (sounds[:, 0], None))[:, 0], sounds[:, 0].sum(1))


@pytest.mark.parametrize("task", [Keywords(4), Tagging(4, threshold=0.1)])
def test_the_rehearsal_is_of_two_windows(task):
    assert task.example({"samples": 5000}).shape == (2, 5000)
