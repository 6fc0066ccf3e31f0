"""The two players of a WGAN, and the Frechet distance against scipy."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from models.dcgan import dcgan
from training.distribution import World
from training.meter import Meter
from training.runtime import Model
from training.tasks.base import Turn
from training.tasks.generation import Generation, frechet

CPU = torch.device("cpu")


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("rows", "width"), [(50, 6), (4, 6), (30, 1)])  # of fewer rows than columns the rank is short
def test_the_frechet_distance_is_that_of_scipys_square_root(rows, width):
    one, other = drawn(0, rows, width), 0.5 * drawn(1, rows + 3, width) + 1
    covariances = [np.atleast_2d(np.cov(x.numpy().T)) for x in (one, other)]
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    expected = float((one.mean(0) - other.mean(0)).square().sum()) + np.trace(sum(covariances) - 2 * root)
    assert float(frechet(one, other)) == pytest.approx(expected, rel=1e-6)
    assert float(frechet(one, one)) == pytest.approx(0, abs=1e-6)


def test_it_is_that_of_two_known_distributions():
    """Of normal distributions with means apart by d and deviations s and t: d^2 + (s - t)^2."""
    line = torch.linspace(-1, 1, 101, dtype=torch.float64)[:, None]
    scale = 1 / float(line.std())
    assert float(frechet(2 * scale * line, 5 * scale * line + 3)) == pytest.approx(3**2 + (5 - 2) ** 2)


def player_gradients(net: nn.Module, player: str) -> set[str]:
    task, model = Generation(), Model(net, net, "fp32", CPU)
    net.zero_grad()
    turn = Turn(player=player, meter=Meter())
    task.loss(model, (torch.randn(4, 1, 28, 28), torch.zeros(4)), turn).backward()
    assert bool(turn.meter.sums) is (player == "critic")
    return {name.split(".")[0] for name, parameter in net.named_parameters() if parameter.grad is not None}


def test_each_player_gets_a_gradient_of_its_own_loss():
    net = dcgan(10, in_channels=1, side=32, width=4)
    assert player_gradients(net, "critic") == {"critic"}
    assert player_gradients(net, "generator") == {"critic", "generator"}
    players = Generation().players(net)
    assert list(players) == ["generator", "critic"]
    learning = {parameter for player in players.values() for parameter in player.parameters()}
    assert not learning & set(net.pretrained_part.parameters())
    assert not net.train().pretrained_part.training


def test_the_losses_are_those_of_wgan():
    """Algorithm 1 of Arjovsky et al. 2017: the critic maximises f(x) - f(g(z)), the generator f(g(z))."""
    net = dcgan(10, in_channels=1, side=32, width=4).eval()
    task, model, images = Generation(), Model(net, net, "fp32", CPU), torch.randn(4, 1, 32, 32)
    losses = {}
    for player in ("critic", "generator"):
        torch.manual_seed(3)
        losses[player] = float(task.loss(model, (images, None), Turn(player=player)).detach())
    torch.manual_seed(3)
    made = net.critic(net.generator(torch.randn(4, 100)[..., None, None])).mean()
    assert losses["generator"] == pytest.approx(-float(made.detach()), rel=1e-5)
    assert losses["critic"] == pytest.approx(float((made - net.critic(images).mean()).detach()), rel=1e-4)


def test_the_generator_follows_the_last_critic_step_and_the_critic_is_clipped():
    task = Generation(critic_steps=5, clip=0.01)
    assert [len(task.turns(step)) for step in range(10)] == [1, 1, 1, 1, 2] * 2
    layer = nn.Linear(3, 3)
    task.after_turn(layer, "generator", World())
    assert layer.weight.abs().max() > 0.01
    task.after_turn(layer, "critic", World())
    assert layer.weight.abs().max() <= 0.01


def test_parameters_are_dcgans() -> None:
    net = dcgan(10)
    counts = [sum(p.numel() for p in part.parameters()) for part in (net.generator, net.critic)]
    assert counts == [3_576_704, 2_765_568]
    points, images = torch.randn(2, 100), torch.randn(2, 3, 64, 64)
    assert net.generator(points[..., None, None]).shape == (2, 3, 64, 64)
    assert [scores.shape for scores in net(points, images)] == [(2,), (2,)]
    with pytest.raises(ValueError, match=r"model\.side: 48 is not a power of 2"):
        dcgan(10, side=48)


def test_a_fresh_classifier_is_the_same_for_every_seed():
    """Distances of two seeds are in the same features; the players are not the same."""
    torch.manual_seed(1)
    one = dcgan(10, in_channels=1, side=16, width=4)
    torch.manual_seed(2)
    two = dcgan(10, in_channels=1, side=16, width=4)
    state = [net.pretrained_part.state_dict() for net in (one, two)]
    assert all(torch.equal(state[0][name], state[1][name]) for name in state[0])
    assert not torch.equal(next(one.generator.parameters()), next(two.generator.parameters()))
