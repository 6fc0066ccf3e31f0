"""Each warning is one line, and each can be turned off alone."""

from copy import deepcopy
from dataclasses import replace

import pytest

import train
from conf.compose import compose
from conf.errors import UsageError
from conf.groups import root
from record.supervise import NullWriter
from training.distribution import World
from training.runtime import pick_device
from training.warnings import Warnings

SHORT = ("progress=true", "budget=steps", "budget.steps=1", "optimizer.lr=0.1", "evaluate.every_epochs=9")
CIFAR = ("protocol=rmsgd_cifar", "data.synthetic=10", "batch_size=10", "schedule=constant")
LINES = {
    "label_smoothing": (
        *("protocol=sing_cifar100", "label_smoothing=0", "data.synthetic=100", "freeze=none", "schedule=constant"),
        *("schedule.warmup_fraction=0", "optimizer=sgd"),
    ),
    "weight_decay": (*CIFAR, "optimizer=sgd"),
    "decay": (*CIFAR, "tuned=rmsgd", "optimizer=adamp", "optimizer.decay=coupled"),
    "schedule": ("optimizer=sgd", "schedule=multistep", "schedule.milestones=[3]"),
    "clipping": ("optimizer=sing", "clip_norm=1"),
    "overlap": ("optimizer=sgd", "data.validation=0.1"),
    "invariance": ("optimizer=sgd",),
    "gradients": ("optimizer=sgd",),
    "compiled": ("optimizer=sgd", "compile_model=true"),
}
SAYS = {
    "label_smoothing": "label_smoothing: 0, where protocol=sing_cifar100 has 0.1",
    "weight_decay": "optimizer.weight_decay: 0, where rmsgd has 0.0005 for sgd",
    "decay": "optimizer.decay: coupled, where rmsgd's weight_decay of 0.0005 is decoupled",
    "schedule": "schedule.milestones: [3] lie behind the run's end at epoch 1",
    "clipping": "clip_norm: this optimizer divides each gradient by its norm, which cancels clipping",
    "overlap": "data: 360 of 360 test samples are in the validation split",
    "invariance": "groups: head.weight and 0 others are called scale-invariant and are not",
    "gradients": "2 trainable tensors have no gradient, among them unused.weight",
    "compiled": "compile_model: the compiled net's evaluation does not follow the weights",
}


def leak(trainer) -> None:
    trainer.data = replace(trainer.data, validation=trainer.data.test)


def repeat(trainer) -> None:
    images = trainer.data.train.images
    images[5] = trainer.data.test.images[7]


def unused_layer(trainer) -> None:
    trainer.model.unused = train.nn.Linear(2, 2)


def claimed(trainer) -> None:
    trainer.first.groups[:] = [{"names": ["head.weight"], "invariance": "channel"}]


def stale_evaluation(trainer) -> None:
    old = deepcopy(trainer.model).eval()
    trainer.predict = replace(trainer.predict, forward=lambda x: trainer.model(x) if trainer.model.training else old(x))


def current_evaluation(trainer) -> None:
    # As far from the net itself as bf16 could be.
    trainer.predict = replace(trainer.predict, forward=lambda x: trainer.model(x) * 1.01)


WARNINGS = tuple(root()["warnings"])
PLANT = {"overlap": leak, "invariance": claimed, "gradients": unused_layer, "compiled": stale_evaluation}


def said(settings, capsys, plant, *words: str) -> list[str]:
    trainer = train.Trainer(settings(*words), World(), pick_device("cpu"))
    plant(trainer)
    trainer.fit(NullWriter(), False)
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]


def test_an_image_in_train_and_test_is_told(settings, capsys) -> None:
    (line,) = said(settings, capsys, repeat, *SHORT, "optimizer=sgd")
    assert "data: 1 of 360 test samples are in the train split" in line


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_is_one_line_and_can_be_turned_off(settings, capsys, name: str) -> None:
    words = (*SHORT, *LINES[name])
    plant = PLANT.get(name, lambda trainer: None)
    (line,) = said(settings, capsys, plant, *words)
    assert SAYS[name] in line
    assert said(settings, capsys, plant, *words, f"warnings.{name}=false") == []
    assert said(settings, capsys, plant, *words, "warnings=false") == []


def test_a_sound_run_is_silent(settings, capsys) -> None:
    words = (*CIFAR, "tuned=rmsgd", "optimizer=adamp", "data.validation=0.2", "compile_model=true", *SHORT)
    assert said(settings, capsys, current_evaluation, *words) == []


def test_every_warning_has_a_switch() -> None:
    with pytest.raises(KeyError):
        Warnings(dict.fromkeys(WARNINGS, True), shown=True).check("unheard", str)


def test_the_old_name_of_the_switches_is_read_for_one_release() -> None:
    assert compose(["canaries.overlap=false"])["warnings"] == dict.fromkeys(WARNINGS, True) | {"overlap": False}
    assert compose(["canaries=false"]) == compose(["warnings=false"])


@pytest.mark.parametrize(
    ("word", "message"),
    [("warnings.overlp=false", "nearest: overlap"), ("warnings=5", "true or false"), ("warnings.decay=1", "true or f")],
)
def test_a_wrong_switch_is_one_line(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        compose([word])
    assert "\n" not in str(caught.value)
