"""Recall and losses of retrieval against scikit-learn and the papers' formulas."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch.nn import Parameter
from torch.nn import functional as F

from models.embedding import small
from training.meter import Meter
from training.runtime import Model
from training.tasks.base import Turn
from training.tasks.retrieval import CHUNK, GALLERY, QUERY, Retrieval, recall

CPU = torch.device("cpu")


def points(count: int, width: int = 6, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))


@pytest.mark.parametrize("count", [40, CHUNK + 7])
def test_recall_is_that_of_scikit_learns_neighbours(count):
    x, labels = points(count), torch.arange(count) % 7
    found = NearestNeighbors(n_neighbors=2, metric="cosine").fit(x).kneighbors(return_distance=False)[:, 0]
    expected = 100 * float((labels[torch.from_numpy(found)] == labels).double().mean())
    assert float(recall(x, labels, torch.zeros(count))) == pytest.approx(expected)


def test_queries_are_sought_in_the_gallery_alone():
    x, labels = points(60), torch.arange(60) % 4
    roles = torch.where(torch.arange(60) % 3 == 0, QUERY, GALLERY)
    asked, shown = x[roles == QUERY], x[roles == GALLERY]
    nearest = (asked @ shown.T).argmax(1)
    expected = 100 * (labels[roles == GALLERY][nearest] == labels[roles == QUERY]).double().mean()
    assert float(recall(x, labels, roles)) == pytest.approx(float(expected))


def task(loss: str, **more) -> Retrieval:
    return Retrieval(**{"num_classes": 5, "loss": loss, "margin": 0.1, "alpha": 32.0, "held_epochs": 0, **more})


def test_proxy_anchor_is_its_formula():
    """Kim et al. 2020, Eq. 4: means over proxies with positives, and over all, of log(1 + sum exp(...))."""
    x, labels, proxies = points(12), torch.arange(12) % 3, points(5, seed=1)
    found = task("proxy_anchor").metric_loss(Parameter(proxies.clone()), 6)(x, labels)
    cosines, positive, negative = (x @ proxies.T).numpy(), 0.0, 0.0
    for number in range(5):
        own = labels.numpy() == number
        positive += np.log1p(np.exp(-32 * (cosines[own, number] - 0.1)).sum()) / 3
        negative += np.log1p(np.exp(32 * (cosines[~own, number] + 0.1)).sum()) / 5
    assert float(found.detach()) == pytest.approx(positive + negative, rel=1e-9)


def test_triplets_are_the_semi_hard_ones():
    """Schroff et al. 2015: the negative is farther than the positive, by less than the margin."""
    x, labels, losses = points(14, 3), torch.arange(14) % 3, []
    distance = torch.cdist(x, x)
    for a in range(14):
        for p in range(14):
            for n in range(14):
                gap = float(distance[a, n] - distance[a, p])
                if a != p and labels[a] == labels[p] != labels[n] and 0 < gap <= 0.1:
                    losses.append(0.1 - gap)
    found = task("triplet").metric_loss(None, 3)(x, labels)
    assert losses
    assert float(found) == pytest.approx(sum(losses) / sum(loss > 0 for loss in losses), rel=1e-6)


def test_the_last_layer_alone_learns_while_the_rest_is_held_and_proxies_with_it():
    net = small(5, in_channels=1, embedding=8)
    batch = torch.randn(6, 1, 28, 28), torch.arange(6) % 5
    made = task("proxy_anchor", held_epochs=2)
    made.order([0] * 30, 10, torch.Generator())
    for step, held in ((0, True), (5, True), (6, False)):
        made.turns(step)
        net.zero_grad()
        made.loss(Model(net, net, "fp32", CPU), batch, Turn(meter=Meter())).backward()
        learning = {name for name, p in net.named_parameters() if p.grad is not None}
        assert learning == ({"proxies", "pretrained_part.head.weight", "pretrained_part.head.bias"} if held else
                            {name for name, _ in net.named_parameters()})  # fmt: skip


def test_a_loss_with_other_proxies_than_its_net_is_one_line():
    for loss, proxies in (("triplet", True), ("proxy_anchor", False)):
        with pytest.raises(ValueError, match=r"model\.proxies: task\.loss=.* needs"):
            task(loss).players(small(5, proxies=proxies))
