"""optim.build: any importable optimizer from its name and keywords, or one line that says what is wrong."""

import inspect
import re
import sys
import types

import pytest
import torch
from torch.nn import Parameter

import optim
from optim import Chain
from optim.stages import adam, heavy_ball


def parameters() -> list[Parameter]:
    return [Parameter(torch.ones(3, 2)), Parameter(torch.ones(3))]


def test_builds_ours_torchs_and_anyones():
    ours = optim.build("optim.AdamP", parameters(), lr=0.1, betas=[0.8, 0.9], decay="absolute")
    assert type(ours) is optim.AdamP
    assert ours.defaults["betas"] == (0.8, 0.9)
    assert ours.param_groups[0]["decay"] == "absolute"
    theirs = optim.build("torch.optim.RMSprop", [{"params": parameters(), "lr": 0.5}], alpha=0.9)
    assert isinstance(theirs, torch.optim.RMSprop)
    assert theirs.param_groups[0]["lr"] == 0.5
    named = optim.build("optim.SING", [("weight", Parameter(torch.ones(2)))])
    assert named.param_groups[0]["param_names"] == ["weight"]


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad"])
def test_torchs_own_are_fused_where_they_can_be(name):
    assert optim.build(f"torch.optim.{name}", parameters()).defaults["fused"]
    assert not optim.build(f"torch.optim.{name}", parameters(), fused=False).defaults["fused"]
    integers = [Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False)]
    assert not optim.build(f"torch.optim.{name}", integers).defaults["fused"]


def test_torchs_others_are_plain():
    for name in ("NAdam", "RAdam", "Adafactor"):
        assert "fused" not in optim.build(f"torch.optim.{name}", parameters()).defaults


@pytest.mark.parametrize(
    ("target", "keywords", "message"),
    [
        ("optim.AdmP", {}, "target='optim.AdmP' does not exist; nearest: AdamP"),
        ("nowhere.Adam", {}, "target='nowhere.Adam': No module named 'nowhere'"),
        ("AdmP", {}, "optimizer 'AdmP' does not exist; see list_optimizers(); nearest: adamp"),
        ("optim.AdamP", {"detla": 1}, "optim.AdamP takes no 'detla': it takes lr, betas"),
        ("torch.optim.SGD", {"beta": 1}, "torch.optim.SGD takes no 'beta'"),
        ("torch.optim.SGD", {"lr": -1}, "torch.optim.SGD: Invalid learning rate: -1"),
        (
            "torch.optim.Adam",
            {"betas": [0.9, 0.99, 0.999]},
            "torch.optim.Adam: betas=(0.9, 0.99, 0.999) is not allowed: give 2, as in",
        ),
        ("optim.Chain", {"lr": 1.0}, "optim.Chain needs 'stages'"),
        ("torch.nn.ReLU", {}, "torch.nn.ReLU is not an optimizer"),
        ("optim.SING", {"base": "adma"}, "optim.SING: base='adma' is not allowed: choose one of adabelief"),
    ],
)
def test_mistakes_are_one_line(target, keywords, message):
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}[^\n]*$"):
        optim.build(target, parameters(), **keywords)


def test_tensors_that_a_class_refuses_are_named():
    named = [("conv.weight", Parameter(torch.ones(2, 1, 3, 3))), ("head.weight", Parameter(torch.ones(2, 3)))]
    message = r"^torch.optim.Muon: .*; it refuses 1 of 2 tensors: conv.weight \[2, 1, 3, 3\], ...[^\n]*$"
    with pytest.raises(ValueError, match=message):
        optim.build("torch.optim.Muon", [{"params": named}])


def test_stages_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match=r"^two stages are called 'adam': set `name` on one of them$"):
        Chain(parameters(), (adam(), adam()), lr=0.1)
    second = adam(eps=1e-6)
    second.name = "second"
    with pytest.raises(ValueError, match=r"^stages disagree on eps: 1e-08 and 1e-06$"):
        Chain(parameters(), (adam(), second), lr=0.1)


def test_absolute_decay_needs_a_first_rate():
    with pytest.raises(ValueError, match=r"^decay='absolute' needs lr > 0"):
        Chain(parameters(), (heavy_ball(),), lr=0.0, decay="absolute")


def test_a_group_that_is_refused_is_not_added():
    optimizer = optim.AdamP(parameters())
    with pytest.raises(ValueError, match=r"^betas=\(0.9,\) is not allowed: give 2 numbers"):
        optimizer.add_param_group({"params": [Parameter(torch.ones(1))], "betas": (0.9,)})
    assert len(optimizer.param_groups) == 1


PAIRED = sorted(
    name
    for name, made in vars(optim).items()
    if isinstance(made, type) and issubclass(made, Chain) and "betas" in inspect.signature(made).parameters
    if made is not optim.Adan  # which has three
)


@pytest.mark.parametrize("betas", [(), (0.9,), (0.9, 0.99, 0.999), 0.9, (0.9, None)])
@pytest.mark.parametrize("name", PAIRED)
def test_betas_are_two_numbers(name, betas):
    with pytest.raises(ValueError, match=rf"^optim.{name}: betas=[^\n]* is not allowed[^\n]*$"):
        optim.build(f"optim.{name}", parameters(), betas=betas)


def test_lookahead_is_two_numbers():
    for value in ((5,), (5, 0.5, 1), 5, (5, 2.0)):
        with pytest.raises(ValueError, match=r"lookahead=.* is not allowed"):
            optim.SING(parameters(), lookahead=value)


class Assertive(torch.optim.SGD):
    def __init__(self, params, lr=1.0):
        assert lr < 1, "lr too large"
        super().__init__(params, {}["lr"])


def test_whatever_a_constructor_raises_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "mine", types.SimpleNamespace(Assertive=Assertive))
    with pytest.raises(ValueError, match=r"^mine.Assertive: AssertionError: lr too large$"):
        optim.build("mine.Assertive", parameters())
    with pytest.raises(ValueError, match=r"^mine.Assertive: KeyError: 'lr'$"):
        optim.build("mine.Assertive", parameters(), lr=0.5)
