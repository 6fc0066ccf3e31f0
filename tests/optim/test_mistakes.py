"""What a user of the classes may get wrong is said once, in one line."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import Parameter

from optim import RMSGD, SGDG, SGDMRT, AdamG, AdamGRepo, AdamGStar, AdamP, AdamS, AdamSRT, chain, param_groups, rmsgd

SPHERICAL = [AdamG, AdamGRepo, AdamGStar, AdamS, AdamSRT, SGDG, SGDMRT]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    net(torch.randn(2, 1, 8, 8)).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("make", SPHERICAL)
def test_a_method_without_invariant_groups_warns_once(make):
    net = network()
    optimizer = make(net.parameters())
    with pytest.warns(UserWarning, match=rf"^{make.__name__}: no param group with weights has [^\n]+param_groups"):
        step(net, optimizer)
    step(net, optimizer)  # a second warning would be an error


@pytest.mark.parametrize("make", SPHERICAL)
def test_the_groups_of_a_model_are_all_it_takes(make):
    net = network()
    step(net, make(param_groups(net)))


@pytest.mark.parametrize("make", SPHERICAL)
def test_a_model_as_a_keyword_is_as_good(make):
    net = network()
    optimizer = make(net.parameters(), param_groups=net)
    assert [group["invariance"] for group in optimizer.param_groups] == ["channel", "none"]
    assert optimizer.param_groups[0]["param_names"] == ["0.weight"]
    step(net, optimizer)


def test_a_model_splits_the_groups_that_are_given():
    net = network()
    head, rest = [*net[3].parameters()], [*net[0].parameters(), *net[1].parameters()]
    own = {"params": head, "lr": 0.5, "invariance": "layer"}
    optimizer = AdamSRT([{"params": rest, "weight_decay": 0.1}, own], param_groups=net)
    told = [(group["invariance"], group["weight_decay"], len(group["params"])) for group in optimizer.param_groups]
    assert told == [("channel", 0.1, 1), ("none", 0.1, 2), ("layer", 0.0, 2)]
    by_name = AdamSRT(net.named_parameters(), param_groups=net)
    assert by_name.param_groups[1]["param_names"] == ["1.weight", "1.bias", "3.weight", "3.bias"]


def test_a_model_without_the_parameter_is_said():
    with pytest.raises(ValueError, match=r"^param_groups: Sequential has no such parameter: \[2, 2\]$"):
        AdamSRT([Parameter(torch.ones(2, 2))], param_groups=network())


def test_groups_of_a_model_that_cannot_be_traced_claim_nothing():
    net = nn.Embedding(3, 2)
    assert [group["invariance"] for group in param_groups(net)] == ["none"]


def test_rank_momentum_without_ends_of_epochs_warns_once(monkeypatch):
    for module in (chain, rmsgd):
        monkeypatch.setattr(module, "LONGEST_EPOCH", 3)
    monkeypatch.setattr(chain, "WARNED_AFTER", (1, 3))
    net = network()
    optimizer = RMSGD(net.parameters())
    for _ in range(2):
        step(net, optimizer)
    with pytest.warns(UserWarning, match=r"^RMSGD: 3 steps without epoch_end\(\)[^\n]+SGD$"):
        step(net, optimizer)
    step(net, optimizer)
    ended = RMSGD(net.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(4):
            step(net, ended)
            ended.epoch_end()


def test_a_misspelt_key_of_a_group_is_refused():
    p = Parameter(torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"^param group: unknown key 'invariants'; nearest: invariance$"):
        AdamSRT([{"params": [p], "invariants": "channel"}])
    with pytest.raises(ValueError, match=r"^param group: unknown key 'weigth_decay'; nearest: weight_decay$"):
        AdamP([{"params": [p], "weigth_decay": 0.1}])


def test_a_group_may_say_what_others_read():
    others = {"name": "stem", "layer_id": 3, "lr_scale": 0.5, "max_momentum": 0.9, "decoupled_weight_decay": True}
    optimizer = AdamP([{"params": [Parameter(torch.ones(2, 2))], **others}])
    assert others.items() <= optimizer.param_groups[0].items()


def test_a_keyword_that_is_not_taken_is_answered_with_those_that_are():
    said = r"^AdamP takes no 'fused': it takes lr, betas, [^\n]*wd_ratio, nesterov, param_groups, [^\n]*capturable$"
    with pytest.raises(TypeError, match=said):
        AdamP([Parameter(torch.ones(2))], fused=True)
    with pytest.raises(TypeError, match=r"; nearest: foreach$"):
        AdamP([Parameter(torch.ones(2))], foreech=True)


def test_a_rate_is_one_number():
    with pytest.raises(ValueError, match=r"^lr=tensor\(\[0.1000, 0.2000\]\) is not allowed: choose numbers in"):
        AdamP([Parameter(torch.ones(2))], lr=torch.tensor([0.1, 0.2]))
    AdamP([Parameter(torch.ones(2))], lr=torch.tensor([0.1]))
