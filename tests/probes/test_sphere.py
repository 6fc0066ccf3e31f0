"""AdamSRT's identities on real training steps, in float64."""

import math
from functools import partial

import pytest
import torch
from torch import nn

import optim
import probes
from conf.groups import options, parts, raw
from optim.invariance import radial_cosine
from probes.invariance import division, effective_rate, filters, sphere, table_rate
from probes.probe import Watched
from tests.probes.nets import INVARIANT, net, train

TORCH = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd_l2": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1),
    "sgdm": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=1e-2),
}
# Every optimizer of conf/optimizer as its yaml has it, with momentum and decay where it takes them; `custom` has none.
CONFIGURED = {name: raw("optimizer", name) for name in options("optimizer") if name != "custom"}


def configured(name, model):
    """The optimizer of a yaml, for a model whose convolutions it is told are invariant."""
    chosen = CONFIGURED[name] | {"groups": {"invariance": {"channel": INVARIANT}}}
    chosen |= {key: value for key, value in {"momentum": 0.9, "weight_decay": 1e-2}.items() if key in chosen}
    return optim.configure(parts(chosen), model)[0]


class Recorder(probes.Probe):
    """Keeps the steps of the invariant tensors as they are."""

    def __init__(self):
        super().__init__(every=1)
        self.steps = []

    def observe(self, step):
        for place, tensor in enumerate(step.tensors):
            if tensor.name in INVARIANT:
                moved = sphere(filters(step.before[place]), filters(step.after[place]))
                kept = (tensor, moved, filters(step.after[place]).clone(), filters(step.gradients[place]))
                self.steps.append(kept)
        return {}


def recorded(model, optimizer, steps, recorder, first=0):
    train(model, optimizer, probes.Observer({"recorder": recorder}, model, optimizer, 0), steps=steps, first=first)
    return recorder.steps


def effective(moved):
    """eta^e c_perp = A c_perp / (1 - A <c, u>) (Eq. 11): rate and direction in one, [O, d]."""
    return moved.tangent / (1 - moved.radial)[:, None]


def steps_of(make, count=4):
    model = net()
    steps = recorded(model, make(model), count, Recorder())
    assert len(steps) == 2 * count
    return steps


@pytest.mark.parametrize("name", CONFIGURED)
def test_equations_12_and_13(name):
    """The direction and radius after the step, rebuilt from eta^e c_perp, are those of the weights."""
    for number, (_, moved, after, _) in enumerate(steps_of(partial(configured, name), count=6)):
        if name == "soap" and number < 2:  # its first step, of two tensors, moves nothing: it makes the bases
            assert not moved.size.any()
            continue
        assert (moved.size > 0).all()
        growth = (1 + moved.size**2).sqrt()
        direction = (moved.direction - effective(moved)) / growth[:, None]
        assert torch.allclose(direction, nn.functional.normalize(after), rtol=0, atol=1e-12)
        assert torch.allclose((1 - moved.radial) * growth, after.norm(dim=1) / moved.radius, rtol=1e-12, atol=0)
        angle = 2 * torch.asin((nn.functional.normalize(after) - moved.direction).norm(dim=1) / 2)
        assert torch.allclose(moved.angle, angle, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("l2", "name"), [(0.0, "sgd"), (0.1, "sgd_l2")])
def test_the_rate_of_sgd_is_table_1s(l2, name):
    """eta / (r^2 (1 - eta lambda)), both from the gradient and from the division vector b = 1."""
    for watched, moved, _, gradients in steps_of(lambda model: TORCH[name](model.parameters())):
        wanted = 0.1 / (moved.radius**2 * (1 - 0.1 * l2))
        assert torch.allclose(effective_rate(moved, gradients), wanted, rtol=1e-12, atol=0)
        measured = table_rate(moved, 0.1, division(watched, "channel"))
        assert torch.allclose(measured, wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["sgdm", "adam"])
def test_equation_11_from_the_optimizers_own_buffers(name):
    """eta^e of Table 1 times c_perp, made from a and b of the optimizer's state, is the measured step."""
    model = net()
    optimizer = TORCH[name](model.parameters())
    recorder = Recorder()
    for step in range(4):
        for watched, moved, _, _ in recorded(model, optimizer, 1, recorder, first=step)[-2:]:
            state = optimizer.state[watched.parameter]
            scale = division(watched, "channel").expand(len(moved.radius))
            if name == "sgdm":
                a, b = state["momentum_buffer"], torch.ones_like(watched.parameter)
            else:
                beta1, beta2, t = 0.9, 0.999, step + 1
                a = state["exp_avg"] / (1 - beta1)
                b = ((state["exp_avg_sq"] / (1 - beta2**t)).sqrt() + 1e-8) * (1 - beta1**t) / (1 - beta1)
            c = moved.radius[:, None] * filters(a) / (filters(b) / scale[:, None])
            tangent = c - (c * moved.direction).sum(1, keepdim=True) * moved.direction
            rate = table_rate(moved, optimizer.param_groups[0]["lr"], scale)
            assert torch.allclose(rate[:, None] * tangent, effective(moved), rtol=1e-10, atol=1e-14)


def test_own_adam_has_torchs_division():
    values = []
    for target in (torch.optim.Adam, optim.AdamP):
        model = net()
        optimizer = target(model.parameters(), lr=1e-2)
        train(model, optimizer, probes.build({}, model, optimizer, 0), steps=1)
        values.append(division(Watched("", model[0].weight, optimizer.param_groups[0], optimizer), "channel"))
    assert torch.allclose(*values)


def test_a_scheme_without_a_known_division_is_nan():
    model = net()
    optimizer = torch.optim.Adagrad(model.parameters(), lr=1e-2)
    train(model, optimizer, probes.build({}, model, optimizer, 0), steps=1)
    watched = Watched("", model[0].weight, optimizer.param_groups[0], optimizer)
    assert division(watched, "channel") is None


def test_a_step_through_the_origin_turns_by_more_than_a_right_angle():
    before, after = torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 1.0]])
    assert sphere(before, after).angle.item() == pytest.approx(0.75 * math.pi)


def test_cosines_of_zeros_are_zero():
    for kind in ("channel", "layer"):
        assert radial_cosine(torch.zeros(2, 3), torch.ones(2, 3), kind) == 0
