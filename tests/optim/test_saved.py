"""States from files: of another precision, older than a key, and written by other packages."""

import copy

import pytest
import torch
from timm.optim.adabelief import AdaBelief as TimmAdaBelief
from timm.optim.adamp import AdamP as TimmAdamP
from torch import Tensor
from torch.nn import Parameter

from optim import SGDP, AdaBelief, AdamP, Chain
from optim.stages import adam, heavy_ball
from tests.optim.table import NAMES, ROWS
from tests.optim.test_contract import advance, closure_of, identical, parameters

NUMBERS = {"lr": 0.02, "weight_decay": 0.1}
BETAS = {"betas": (0.8, 0.95)}


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_state_adds_no_key_to_the_groups(name):
    params = parameters()
    optimizer = ROWS[name].build(params)
    advance(optimizer, params, [0])
    before = [group.keys() for group in copy.deepcopy(optimizer.param_groups)]
    optimizer.load_state_dict(optimizer.state_dict())
    assert [group.keys() for group in optimizer.param_groups] == before


@pytest.mark.parametrize(("first", "then"), [(torch.float32, torch.float64), (torch.float64, torch.bfloat16)])
@pytest.mark.parametrize("name", NAMES)
def test_a_run_goes_on_in_another_precision(name, first, then):
    params = parameters(first)
    optimizer = ROWS[name].build(params)
    advance(optimizer, params, range(3))
    turned = [Parameter(p.detach().to(then)) for p in params]
    other = ROWS[name].build(turned)
    other.load_state_dict(optimizer.state_dict())
    buffers = torch.float32 if then == torch.bfloat16 else then
    for state in other.state.values():
        assert {value.dtype for key, value in state.items() if key != "step"} <= {buffers}
    advance(other, turned, [3])
    reference = optimizer if then == torch.float64 else None
    if reference:  # the same step, to the coarser precision
        for ours, p in zip(turned, advance(reference, params, [3]), strict=True):
            torch.testing.assert_close(ours.detach().float(), p.float(), rtol=2e-4, atol=2e-5)


def test_a_count_may_be_a_number_and_a_first_rate_may_be_missing():
    params = parameters()
    optimizer = AdamP(params, decay="absolute", **NUMBERS)
    advance(optimizer, params, range(3))
    saved = copy.deepcopy(optimizer.state_dict())
    for state in saved["state"].values():
        state["step"] = int(state["step"])
    del saved["param_groups"][0]["lr_0"]
    copies = [Parameter(p.detach().clone()) for p in params]
    other = AdamP(copies, decay="absolute", **NUMBERS)
    other.load_state_dict(saved)
    assert identical(advance(other, copies, [3]), advance(optimizer, params, [3]))


THEIRS = {
    "torch SGD": (
        lambda ps: torch.optim.SGD(ps, momentum=0.9, nesterov=True, **NUMBERS),
        lambda ps: Chain(ps, (heavy_ball(),), lr=1.0, decay="coupled"),
    ),
    "torch AdamW": (lambda ps: torch.optim.AdamW(ps, **BETAS, **NUMBERS), lambda ps: Chain(ps, (adam(),), lr=1.0)),
    "torch Adam": (lambda ps: torch.optim.Adam(ps, **BETAS, **NUMBERS), lambda ps: Chain(ps, (adam(),), lr=1.0)),
    "timm AdamP": (lambda ps: TimmAdamP(ps, delta=0.2, wd_ratio=0.3, **BETAS, **NUMBERS), AdamP),
    "timm AdaBelief": (lambda ps: TimmAdaBelief(ps, **BETAS, **NUMBERS), lambda ps: AdaBelief(ps, rectify=True)),
}


def gradient(params: list[Parameter], seed: int) -> None:
    closure_of(params, seed)()


def three_steps(make) -> tuple[torch.optim.Optimizer, list[Parameter]]:
    params = parameters(torch.float64)
    optimizer = make(params)
    for seed in range(3):
        gradient(params, seed)
        optimizer.step()
    return optimizer, params


@pytest.mark.parametrize("name", THEIRS)
def test_a_state_of_another_package_goes_on_as_it_would_have_there(name):
    make, ours = THEIRS[name]
    theirs, params = three_steps(make)
    copies = [Parameter(p.detach().clone()) for p in params]
    other = ours(copies)
    other.load_state_dict(copy.deepcopy(theirs.state_dict()))
    for seed in range(3, 7):
        for optimizer, tensors in ((theirs, params), (other, copies)):
            gradient(tensors, seed)
            optimizer.step()
    for p, q in zip(copies, params, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12)
    assert other.param_groups[0].keys() == ours(parameters()).param_groups[0].keys()


REFUSED = {
    "another method": (lambda ps: torch.optim.Adam(ps), AdaBelief, r"of another method, with exp_avg, exp_avg_sq; of"),
    "amsgrad": (lambda ps: torch.optim.Adam(ps, amsgrad=True), AdamP, r"of another method"),
    "no format is known": (
        lambda ps: torch.optim.SGD(ps, momentum=0.9),
        SGDP,
        r"of another method, with momentum_buffer$",
    ),
    "another chain": (
        SGDP,
        AdamP,
        r"has a buffer momentum.buffer \(4, 3, 3, 3\), and a weight \(4, 3, 3, 3\) has adam",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_state_of_another_method_is_refused_in_one_line(name):
    make, ours, words = REFUSED[name]
    theirs, params = three_steps(make)
    with pytest.raises(ValueError, match=rf"^{ours.__name__}: [^\n]*{words}[^\n]*$"):
        ours(params).load_state_dict(theirs.state_dict())


def test_tensors_of_another_shape_and_other_dictionaries_are_refused_in_one_line():
    theirs, _ = three_steps(AdamP)
    with pytest.raises(ValueError, match=r"^AdamP: the state has a buffer adam.exp_avg \(4, 3, 3, 3\), and[^\n]*$"):
        AdamP([Parameter(torch.zeros(2, 2)) for _ in range(4)]).load_state_dict(theirs.state_dict())
    with pytest.raises(ValueError, match=r"^AdamP: no optimizer's state_dict: it has model, epoch$"):
        theirs.load_state_dict({"model": {}, "epoch": 3})


def test_a_step_of_nothing_makes_the_state_and_moves_nothing():
    """torch.distributed.checkpoint takes one to have a state made, and scales the rate to 0 for it."""
    for name in NAMES:
        params = parameters()
        before = [p.detach().clone() for p in params]
        optimizer = ROWS[name].build(params, lr=torch.tensor(ROWS[name].keywords["lr"]))
        for p in params:
            p.grad = torch.zeros_like(p)
        optimizer.param_groups[0]["lr"] = torch.tensor(0.0)
        optimizer.step()
        assert identical(params, before), name
        assert {int(state["step"]) for state in optimizer.state.values()} == {0}, name


def test_a_warmup_from_rate_0_counts_its_first_step():
    params = parameters()
    optimizer = AdamP(params, lr=0.0)
    gradient(params, 0)
    optimizer.step()
    moments: list[Tensor] = [state["adam.exp_avg"] for state in optimizer.state.values()]
    assert all(int(state["step"]) == 1 for state in optimizer.state.values())
    assert all(bool(m.any()) for m in moments)
