"""Closures as people write them, under SAM and SLS: the right step, or one line that says what a closure is to do."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import Parameter

from optim import SAM, SLS, Chain, closure
from optim.closures import frozen_statistics

MAKE = {"sam": lambda params: SAM(params, lr=0.1, rho=0.5), "sls": lambda params: SLS(params, lr=100.0)}


def bowl(w: Tensor) -> Tensor:
    return (w**2).sum() / 5


def polite(w: Parameter, optimizer: Chain) -> Tensor:
    loss = bowl(w)
    if torch.is_grad_enabled():
        optimizer.zero_grad()
        loss.backward()
    return loss.detach()


def zeroes_always(w: Parameter, optimizer: Chain) -> Tensor:
    optimizer.zero_grad()
    loss = bowl(w)
    if torch.is_grad_enabled():
        loss.backward()
    return loss.detach()


def backpropagates_always(w: Parameter, optimizer: Chain) -> Tensor:
    """Lightning's."""
    with torch.enable_grad():
        loss = bowl(w)
        optimizer.zero_grad()
        loss.backward()
    return loss.detach()


def in_place(w: Parameter, optimizer: Chain) -> Tensor:
    """Into the memory of the gradients, as DDP's buckets are."""
    with torch.enable_grad():
        loss = bowl(w)
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
    return loss.detach()


def leaves_zeroing_to_the_loop(w: Parameter, optimizer: Chain) -> Tensor:
    loss = bowl(w)
    if torch.is_grad_enabled():
        loss.backward()
    return loss.detach()


def run(name: str, closure: Callable[[Parameter, Chain], Tensor]) -> tuple[list[float], Tensor, list[Tensor]]:
    """The losses, the weight and each step's gradient."""
    w = Parameter(torch.arange(1.0, 6.0, dtype=torch.float64))
    optimizer, losses, gradients = MAKE[name]([w]), [], []
    for _ in range(5):
        optimizer.zero_grad()
        losses.append(float(optimizer.step(lambda: closure(w, optimizer))))
        gradients.append(w.grad.clone())
    return losses, w.detach(), gradients


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("closure", [zeroes_always, backpropagates_always, in_place, leaves_zeroing_to_the_loop])
def test_an_ordinary_closure_gives_the_same_steps(name, closure):
    expected, ours = run(name, polite), run(name, closure)
    assert ours[0] == expected[0]
    assert expected[0][-1] < expected[0][0] / 2
    assert torch.equal(ours[1], expected[1])
    assert all(torch.equal(a, b) for a, b in zip(ours[2], expected[2], strict=True))


def test_a_closure_that_cannot_give_the_loss_alone_is_told_so():
    def unguarded(w: Parameter, optimizer: Chain) -> Tensor:
        optimizer.zero_grad()
        loss = bowl(w)
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match=r"^SLS.step also asks for the loss alone[^\n]*$"):
        run("sls", unguarded)


@pytest.mark.parametrize("name", MAKE)
def test_gradients_of_earlier_batches_are_refused(name):
    """The last call of an accumulation knows the last micro-batch alone."""
    w = Parameter(torch.arange(1.0, 6.0, dtype=torch.float64))
    optimizer = MAKE[name]([w])
    (w.sum() * 3).backward()
    with pytest.raises(RuntimeError, match=r"^\w+.step: the closure adds to gradients from before the step[^\n]*$"):
        optimizer.step(lambda: leaves_zeroing_to_the_loop(w, optimizer))
    assert torch.equal(w.detach(), torch.arange(1.0, 6.0, dtype=torch.float64))


def test_what_a_trial_breaks_is_put_back():
    w = Parameter(torch.arange(1.0, 6.0, dtype=torch.float64))
    optimizer = SLS([w], lr=100.0)

    def failing() -> Tensor:
        if torch.is_grad_enabled():
            return polite(w, optimizer)
        w.grad = None
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        optimizer.step(failing)
    assert torch.equal(w.detach(), torch.arange(1.0, 6.0, dtype=torch.float64))
    torch.testing.assert_close(w.grad, w.detach() * 2 / 5)


class Net(nn.Module):
    """Batch norm and dropout: what may not be counted, or drawn, twice a step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def batches(number: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    xs = torch.randn(number, 6, 3, generator=draw, dtype=torch.float64)
    return [(x, torch.randint(2, (6,), generator=draw)) for x in xs]


def loss_of(net: nn.Module) -> Callable[[tuple[Tensor, Tensor]], Tensor]:
    return lambda batch: nn.functional.cross_entropy(net(batch[0]), batch[1])


def test_every_call_sees_the_same_masks_and_draws_go_on_after_the_first():
    net = Net()
    made = closure(net, loss_of(net), SAM(net.parameters()), batches(2))
    first = made()
    drawn = torch.get_rng_state()
    with torch.no_grad():
        assert torch.equal(made(), first)
    assert torch.equal(made(), first)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert made.calls == 3


@pytest.mark.parametrize(("statistics", "counted"), [("first", 2), ("all", 4)])
def test_running_statistics_are_moved_as_the_optimizer_says(statistics, counted):
    net = Net()
    optimizer = SAM(net.parameters(), batch_norm_statistics=statistics)
    optimizer.step(closure(net, loss_of(net), optimizer, batches(2)))
    assert int(net.layers[1].num_batches_tracked) == counted


def test_micro_batches_are_one_batch_clipped_once():
    net = Net().eval()
    parts = batches(2)
    clip = lambda: nn.utils.clip_grad_norm_(net.parameters(), 0.1)  # noqa: E731
    made = closure(net, loss_of(net), torch.optim.SGD(net.parameters()), parts, clip=clip)
    whole_batch = tuple(torch.cat(tensors) for tensors in zip(*parts, strict=True))
    assert float(made()) == pytest.approx(loss_of(net)(whole_batch).item(), rel=1e-12)
    norm = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
    assert float(norm) == pytest.approx(0.1, rel=1e-4)
    with torch.no_grad():
        before = [p.grad.clone() for p in net.parameters()]
        made()
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), before, strict=True))


def test_the_first_call_has_gradients_in_any_case():
    net = Net()
    made = closure(net, loss_of(net), torch.optim.SGD(net.parameters()), batches(1))
    with torch.no_grad():
        made()
    assert all(p.grad is not None for p in net.parameters())


def test_the_weights_of_micro_batches_are_kept():
    net = Net().eval()
    parts = batches(2)
    made = closure(net, loss_of(net), torch.optim.SGD(net.parameters()), parts, weights=[0.25, 2.0])
    losses = [loss_of(net)(part).item() for part in parts]
    assert float(made()) == pytest.approx(0.25 * losses[0] + 2 * losses[1], rel=1e-12)


def test_frozen_statistics_normalise_by_the_batch_and_do_not_move() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    x = torch.randn(8, 3, 5, 5)
    expected = net(x)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with frozen_statistics(net):
        assert torch.equal(net(x), expected)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net(x)
    assert not torch.equal(net[1].running_mean, before["1.running_mean"])


@pytest.mark.parametrize("adaptive", [False, True])
def test_two_halves_of_a_step_equal_the_whole_one(adaptive):
    halves, whole = Net().eval(), Net().eval()
    one, other = (SAM(net.parameters(), rho=0.3, adaptive=adaptive) for net in (halves, whole))
    for seed in range(3):
        parts = batches(2, seed)
        other.step(closure(whole, loss_of(whole), other, parts))
        for advance in (one.first_step, one.second_step):
            for part in parts:
                (loss_of(halves)(part) / 2).backward()
            advance()
        one.zero_grad()
    for p, q in zip(halves.parameters(), whole.parameters(), strict=True):
        assert torch.equal(p, q)


def test_the_second_half_comes_second():
    net = Net()
    with pytest.raises(RuntimeError, match=r"^SAM.second_step comes after first_step"):
        SAM(net.parameters()).second_step()
