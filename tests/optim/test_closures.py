"""Closures as people write them, under SAM and SLS: the right step, or one line that says what a closure is to do."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from optim import SAM, SLS, Chain

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
