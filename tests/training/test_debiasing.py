"""HSIC against its definition over all fours of samples, and the two players of ReBias."""

from itertools import permutations

import pytest
import torch

from models.debiasing import conv_pair, resnet18_bagnet18
from training.meter import Meter
from training.runtime import Model
from training.tasks.base import Turn
from training.tasks.debiasing import Debiasing, TextureDebiasing, hsic

CPU = torch.device("cpu")


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_hsic_is_its_u_statistic(sigma: float) -> None:
    """Song et al. 2012, Eq. 4: the mean over distinct i, j, q, r of k_ij (l_ij + l_qr - 2 l_iq)."""
    x, y = drawn(0, 7, 3), drawn(1, 7, 2)
    k, other = (torch.exp(-(torch.cdist(z, z) ** 2) / (2 * sigma**2)) for z in (x, y))
    terms = [k[i, j] * (other[i, j] + other[q, r] - 2 * other[i, q]) for i, j, q, r in permutations(range(7), 4)]
    assert float(hsic(x, y, sigma)) == pytest.approx(float(sum(terms) / len(terms)), rel=1e-9)


def test_the_authors_estimate_is_the_same() -> None:
    """Their code takes 1 off every entry of the kernels, not the diagonal alone: a constant is centred away."""
    x, y, n = drawn(2, 9, 4), drawn(3, 9, 4), 9
    k, other = (torch.exp(-(torch.cdist(z, z) ** 2) / 2) - 1 for z in (x, y))
    total = torch.trace(k @ other) + k.sum() * other.sum() / ((n - 1) * (n - 2)) - 2 * k.sum(0) @ other.sum(0) / (n - 2)
    assert float(hsic(x, y, 1.0)) == pytest.approx(float(total / (n * (n - 3))), rel=1e-9)


def test_it_is_about_zero_for_independent_features_and_not_for_dependent_ones() -> None:
    x, y = drawn(4, 400, 1), drawn(5, 400, 1)
    assert abs(float(hsic(x, y, 1.0))) < 1e-3
    assert float(hsic(x, x.square(), 1.0)) > 1e-2
    assert float(hsic(x[:3], y[:3], 1.0)) == 0


def net_and_batch():
    torch.manual_seed(0)
    net = conv_pair(10, kernel=3, width=2).eval()
    return net, (torch.randn(8, 3, 12, 12), torch.arange(8) % 4)


@pytest.mark.parametrize("player", ["target", "biased"])
def test_each_player_gets_the_gradient_of_its_own_loss(player: str) -> None:
    net, batch = net_and_batch()
    turn = Turn(player=player, meter=Meter())
    loss = Debiasing(10, outer=2.0, inner=3.0, sigma=0.1).loss(Model(net, net, "fp32", CPU), batch, turn)
    loss.backward()
    assert {name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None} == {player}
    assert bool(turn.meter.sums) is (player == "target")
    logits, features, others, seen = net(batch[0])
    weight, scores = (2.0, logits) if player == "target" else (-3.0, others)
    plain, dependence = torch.nn.functional.cross_entropy(scores, batch[1]), hsic(features, seen, 0.1)
    added, dependence = float((loss - plain).detach()), float(dependence.detach())
    assert abs(dependence) > 1e-3
    assert added == pytest.approx(weight * dependence, rel=1e-3)


def test_accuracies_are_told_apart_by_role() -> None:
    net, (images, labels) = net_and_batch()
    task, roles = Debiasing(10), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    meter = task.meter()
    with torch.no_grad():
        task.evaluate(Model(net, net, "fp32", CPU), [(images, torch.stack((labels, roles), 1))], meter)
        right = (net(images)[0].argmax(1) == labels).double()
    result = meter.result()
    assert result["biased_top1"] == pytest.approx(100 * float(right[:4].mean()))
    assert result["unbiased_top1"] == pytest.approx(100 * float(right[4:].mean()))
    assert list(task.turns(0)) == ["biased", "target"]
    assert [*task.players(net)] == ["target", "biased"]


def test_parameters_are_those_of_rebias() -> None:
    net = conv_pair(10)
    assert [sum(p.numel() for p in part.parameters()) for part in (net.target, net.biased)] == [531_210, 12_810]
    with pytest.raises(ValueError, match=r"model\.kernel: 4 is not odd"):
        conv_pair(10, kernel=4)


def test_a_width_of_0_is_the_median_distance_of_the_batch() -> None:
    x, y = drawn(6, 9, 3), drawn(7, 9, 2)
    x, y = (z / torch.cdist(z, z).square().median().sqrt() for z in (x, y))
    assert float(hsic(3.0 * x, 0.2 * y, 0.0)) == pytest.approx(float(hsic(x, y, 1.0)), rel=1e-9)


def test_unbiased_accuracy_is_the_mean_over_kinds_and_textures() -> None:
    """Against the definition: cells of ten images or more, one after the other."""
    generator = torch.Generator().manual_seed(0)
    labels, clusters = torch.randint(3, (300,), generator=generator), torch.randint(4, (300, 3), generator=generator)
    clusters[:, 2] = torch.where(torch.arange(300) < 295, 0, 8)  # the last five are too few for a cell
    roles = (torch.arange(300) >= 250).long()
    clusters[roles == 1] = -1
    right = torch.rand(300, generator=generator) < 0.3 + 0.2 * labels
    task = TextureDebiasing(9)
    rows = torch.column_stack((labels, roles, clusters))
    found = task.derive({}, [(right[:100, None].float(), rows[:100]), (right[100:, None].float(), rows[100:])])
    plain = roles == 0
    means = []
    for column in clusters.T:
        cells = [plain & (labels == n) & (column == c) for n in range(3) for c in range(9)]
        means.append(sum(accs := [float(right[c].double().mean()) for c in cells if c.sum() >= 10]) / len(accs))
    assert float(found["unbiased_top1"]) == pytest.approx(sum(means) / 3, rel=1e-9)
    assert float(found["biased_top1"]) == pytest.approx(float(right[plain].double().mean()))
    assert float(found["imagenet_a_top1"]) == pytest.approx(float(right[~plain].double().mean()))
    few = torch.tensor([[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 2, 2, 2], [0, 1, -1, -1, -1]])
    found = task.derive({}, [(torch.tensor([[1.0], [0.0], [1.0], [1.0]]), few)])
    assert float(found["unbiased_top1"]) == 0.75  # no cell has ten: of all


def test_a_feature_of_bagnet_sees_five_pixels_a_side() -> None:
    net = resnet18_bagnet18(9).eval()
    counts = [sum(p.numel() for p in part.parameters()) for part in (net.target, net.biased)]
    stem, head = 3 * 64 + 9 * 64 * 64 + 2 * 64, 512 * 9 + 9
    firsts = [(64, 64, 9), (64, 128, 1), (128, 256, 1), (256, 512, 1)]  # channels, and the entries of a kernel
    blocks = sum((k + 1) * n * w + w * w + 6 * w + 2 * (w * w + 2 * w) for n, w, k in firsts)
    assert counts == [11_181_129, stem + blocks + head]
    images = torch.randn(1, 3, 64, 64, requires_grad=True)
    features = net.biased[0][:-2](images)
    features[0, :, 3, 2].sum().backward()
    seen = images.grad.abs().sum((0, 1)).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [5, 5]
    assert net(images)[3].shape == (1, 512)
