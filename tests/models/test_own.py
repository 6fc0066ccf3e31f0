"""Nets of your own, and weights from a file."""

import sys

import pytest
import torch
from torch import nn

import models
from conf.compose import compose
from conf.errors import UsageError
from record.identity import run_id, semantic

MODULE = """
from torch import nn

def broken(num_classes):
    raise RuntimeError("no file\\nof weights")

def three():
    return 3

def lazy(num_classes):
    return nn.LazyLinear(num_classes)

def many(**kwargs):
    return nn.Linear(6, **{"out_features": kwargs.pop("num_classes"), **kwargs})

class Plain(nn.Module):
    pass

class Net(nn.Sequential):
    def __init__(self, num_classes, in_channels, width=2):
        super().__init__(nn.Conv2d(in_channels, width, 3), nn.Flatten(), nn.Linear(width * 36, num_classes))
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "ownnet.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("ownnet", None)


def configured(*words: str) -> dict:
    return compose(["data=digits", "model=custom", "model.target=ownnet.Net", *words])


def built(*words: str, num_classes: int = 10) -> nn.Module:
    return models.build(configured(*words)["model"], {"num_classes": num_classes, "in_channels": 1, "image_size": 8})


def test_a_net_gets_its_arguments_and_the_facts_that_it_names(module):
    net = built("model.args={width: 4}")
    assert net(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert net[0].out_channels == 4
    assert built("model.args={in_channels: 3}")[0].in_channels == 3  # a rehearsal says that it does not fit


def save(folder, net, kind: str):
    file = folder / f"weights.{kind}"
    if kind == "safetensors":
        from safetensors.torch import save_file

        save_file(net.state_dict(), file)
    else:
        torch.save(net.state_dict() if kind == "pt" else {"state_dict": net.state_dict()}, file)
    return file


@pytest.mark.parametrize("kind", ["pt", "safetensors", "ckpt"])
def test_weights_come_from_a_file_but_for_a_head_of_other_classes(module, capsys, kind):
    source = built(num_classes=5)
    same, other = (built(f"model.weights={save(module, source, kind)}", num_classes=n) for n in (5, 10))
    assert all(torch.equal(a, b) for a, b in zip(same.state_dict().values(), source.state_dict().values(), strict=True))
    assert torch.equal(other[0].weight, source[0].weight)
    assert capsys.readouterr().out == (
        "model.weights: fresh, for they have other shapes in the file: 2.weight, 2.bias\n"
    )


def test_the_content_of_the_weights_is_in_the_identity(module):
    file = save(module, built(), "pt")
    ids = [run_id(semantic(configured(*words))) for words in ((), (f"model.weights={file}",))]
    copy = module / "copy.pt"
    copy.write_bytes(file.read_bytes())
    assert run_id(semantic(configured(f"model.weights={copy}"))) == ids[1] != ids[0]


def test_timm_nets_without_weights_keep_their_ids():
    config = semantic(compose(["data=digits", "model=timm", "model.name=resnet10t"]))
    assert config["model"].keys() == {"name", "target", "version", "input", "args"}


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda file: file.write_bytes(b"none"), "cannot be read"),
        (lambda file: torch.save([1], file), "is not a state dict"),
        (lambda file: torch.save({"other": torch.ones(1)}, file), "5 names are not in both the file and the net"),
        (lambda file: torch.save({k: torch.ones(7) for k in built().state_dict()}, file), "4 of 4 tensors have other"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(module, write, words):
    write(module / "bad.pt")
    with pytest.raises(ValueError, match=words) as caught:
        built(f"model.weights={module / 'bad.pt'}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("broken", r"ownnet\.broken raised RuntimeError: no file \(traceback=true shows where\)"),
        ("three", r"ownnet\.three returned int, not a torch\.nn\.Module"),
        ("lazy", r"ownnet\.lazy has lazy layers"),
    ],
)
def test_a_target_that_gives_no_net_is_one_line(module, target, words):
    with pytest.raises(ValueError, match=words) as caught:
        built(f"model.target=ownnet.{target}")
    assert "\n" not in str(caught.value)


def test_a_function_with_keywords_gets_the_classes_and_a_class_without_its_own_nothing(module):
    assert built("model.target=ownnet.many", "model.args={bias: false}").out_features == 10
    assert type(built("model.target=ownnet.Plain")).__name__ == "Plain"


def test_timm_needs_a_name_and_takes_weights_from_a_file():
    for words, said in (
        ((), "name a network of timm"),
        (("model.args={pretrained: true}",), "weights come from a file"),
    ):
        name = ["model.name=resnet10t"] if words else []
        with pytest.raises(ValueError, match=said):
            models.build(compose(["data=digits", "model=timm", *name, *words])["model"], {"num_classes": 10})


def test_a_missing_file_and_a_missing_class_are_found_before_torch(module):
    with pytest.raises(UsageError, match="No such file"):
        configured("model.weights=nowhere.pt")
    with pytest.raises(UsageError, match=r"model\.target: name a class, e\.g\. model\.target=my\.module\.Net"):
        configured("model.target=null")
