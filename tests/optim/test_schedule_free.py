"""The two kinds of weights of schedule-free methods: y in training, x at evaluation."""

import copy

import pytest
import torch
from torch.nn import Parameter

import optim
from tests.optim.problems import Closure, weights

MAKES = {
    "sgd": lambda ps: optim.ScheduleFreeSGD(ps, lr=0.1, weight_decay=0.1),
    "adamw": lambda ps: optim.ScheduleFreeAdamW(ps, lr=0.02, weight_decay=0.1),
    "lion": lambda ps: optim.Chain(ps, ["lion", "schedule_free"], lr=0.01),
}


def stepped(optimizer, params, steps):
    closure = Closure(params)
    for step in steps:
        closure.step = step
        optimizer.step(closure)
    return params


@pytest.mark.parametrize("name", MAKES)
def test_evaluation_weights_are_the_average_of_z(name):
    params = weights()
    optimizer = MAKES[name](params)
    average = [torch.zeros_like(p) for p in params]
    for step in range(10):
        stepped(optimizer, params, [step])
        for x, p in zip(average, params, strict=True):
            x.lerp_(optimizer.state[p]["schedule_free.z"], 1 / (step + 1))  # all weights of the average are equal
    trained = [p.detach().clone() for p in params]
    optimizer.eval()
    optimizer.eval()  # once is enough
    for p, x in zip(params, average, strict=True):
        torch.testing.assert_close(p.detach(), x, rtol=1e-12, atol=1e-12)
    optimizer.train()
    for p, y in zip(params, trained, strict=True):
        torch.testing.assert_close(p.detach(), y, rtol=1e-12, atol=1e-12)


def test_a_step_at_the_evaluation_weights_is_refused_in_one_line():
    params = weights()
    optimizer = MAKES["sgd"](params)
    optimizer.eval()
    with pytest.raises(RuntimeError, match=r"^the weights are those to evaluate: call optimizer.train\(\)[^\n]*$"):
        stepped(optimizer, params, [0])


def test_a_state_saved_at_evaluation_goes_on_from_there():
    params = weights()
    optimizer = MAKES["adamw"](params)
    stepped(optimizer, params, range(5))
    optimizer.eval()
    copies = [Parameter(p.detach().clone()) for p in params]
    other = MAKES["adamw"](copies)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for each in (optimizer, other):
        each.train()
    for a, b in zip(stepped(optimizer, params, range(5, 9)), stepped(other, copies, range(5, 9)), strict=True):
        assert torch.equal(a, b)


def test_other_chains_have_one_kind_of_weights():
    params = weights()
    optimizer = optim.AdamP(params)
    stepped(optimizer, params, range(2))
    before = [p.detach().clone() for p in params]
    optimizer.eval()
    assert all(torch.equal(p, x) for p, x in zip(params, before, strict=True))
