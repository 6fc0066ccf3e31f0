"""Which targets of a stored configuration are run: those of the suite's yamls, torch's optimizers, plug-ins."""

import pytest

from conf.trust import foreign

OWN = {"data": {"target": "data.digits.digits"}, "model": {"target": "models.resnet.resnet18"}}


@pytest.mark.parametrize("target", ["torch.optim.RMSprop", "optim.SING", "optimizers.X"])
def test_ours_torchs_optimizers_and_plug_ins_need_no_trust(target: str, monkeypatch) -> None:
    monkeypatch.setattr("conf.groups.plugins", lambda: {"installed": "optimizers.X"})
    assert foreign(OWN | {"optimizer": {"target": target}}) == []


@pytest.mark.parametrize("target", ["torch.hub.load", "torchx.X", "torch.optim.sgd.torch.hub.load", "optim.build"])
def test_what_else_those_rooms_hold_needs_it(target: str) -> None:
    assert foreign(OWN | {"optimizer": {"target": target}}) == [target]


def test_a_module_that_one_of_ours_imports_is_not_ours() -> None:
    """`data.stored.os.system` is found by its dots, and runs any command."""
    config = {group: {"target": f"data.stored.os.{group}"} for group in ("data", "model", "optimizer")}
    assert foreign(config) == ["data.stored.os.data", "data.stored.os.model", "data.stored.os.optimizer"]
