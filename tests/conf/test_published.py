"""Every published number: a table's cell that composes with its tuned values, or a reason why there is none."""

from collections import Counter

import pytest

from conf import groups
from conf.compose import composed
from conf.tuned import lookup
from papers import table as tables
from papers.published import numbers
from reports.experiments import UNEXPLAINED, reason
from reports.published import shown

ALL = [t for t in map(tables.load, tables.names()) if t.has_runs]
TABLES = [t for t in ALL if t.spec["published"]]
CELLS = [(table, cell) for table in TABLES for cell in table.cells()]


def test_all_605_numbers_are_shown_or_explained():
    places = shown()
    unexplained = [n for n in numbers() if n.line not in places and reason(n) == UNEXPLAINED]
    assert len(numbers()) == 605
    assert unexplained == []
    # What is not covered is outside classification, depth and language, or printed without its protocol.
    hidden = Counter((n.paper, n.table) for n in numbers() if n.line not in places)
    assert hidden == {
        **{("adamp", table): count for table, count in {"1": 2, "3": 4, "5-text": 4}.items()},
        **{("adamp", table): count for table, count in {"D.1": 2, "figure": 2, "F1": 2, "F3": 3}.items()},
    }


@pytest.fixture(scope="module")
def configs():
    return composed({(*cell.overrides, "seed=0") for table in ALL for cell in table.cells()})


def test_every_cell_composes(configs):
    _, reasons = configs
    assert reasons == {}


def test_every_cell_is_the_experiment_that_it_says(configs):
    made, _ = configs
    for _, cell in CELLS:
        config = made[*cell.overrides, "seed=0"]
        place = dict(word.split("=", 1) for word in cell.overrides)
        for group in ("data", "model", "optimizer"):
            assert config[group]["name"] == place[group]
        assert config["protocol_name"] == place["protocol"] != "none"
        assert config["scale_name"] == "paper"


def test_every_cell_has_tuned_values_or_its_gap_is_named(configs):
    made, _ = configs
    for table, cell in CELLS:
        config = made[*cell.overrides, "seed=0"]
        given = {f"optimizer.{key}": value for key, value in config["optimizer"].items()}
        names = [config[group]["name"] for group in ("data", "model", "optimizer")]
        found = lookup(config["tuned"], *names, config["source"], given.get)
        for key in ("optimizer.lr", "optimizer.weight_decay"):
            assert (key in found.printed) or (key in found.notes), (table.name, cell.overrides, key)
        for key, value in found.values.items():
            explicit = any(word.startswith((f"{key}=", f"{key}.")) for word in cell.overrides)
            assert explicit or _at(config, key) == value, (table.name, cell.overrides, key)


def _at(config, key):
    if key in groups.GROUPS:
        return config[key]["name"]
    value = config
    for part in key.split("."):
        value = value[part]
    return value


CIFAR10_STD, KUANGLIU_STD = [0.2470, 0.2435, 0.2616], [0.2023, 0.1994, 0.2010]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("protocol=rmsgd_cifar", {"data.normalise.std": KUANGLIU_STD, "budget.epochs": 250, "schedule.step_size": 25}),
        ("protocol=rmsgd_cifar data=cifar100", {"data.normalise.mean": [0.49137255, 0.48235294, 0.44666667]}),
        ("protocol=rmsgd_cifar tuned=rmsgd optimizer=rmsgd", {"schedule": "constant", "optimizer.lr": 0.03}),
        ("protocol=rmsgd_cifar tuned=rmsgd optimizer=sgd source=code", {"optimizer.weight_decay": 1e-4}),
        ("protocol=rmsgd_cifar tuned=rmsgd optimizer=sgd source=text", {"optimizer.weight_decay": 5e-4}),
        ("protocol=rmsgd_cifar_cutout_wallclock", {"data.augment.cutout": 16, "budget": "wallclock_of"}),
        ("protocol=adamsrt model=vgg16_bn", {"model.conv_bias": False, "data.normalise.std": CIFAR10_STD}),
        ("protocol=rmsgd_cifar model=vgg16_bn", {"model.conv_bias": True}),
        ("protocol=adamsrt data=svhn", {"data.augment.flip": "none", "data.validation": 0.05}),
        ("protocol=adamsrt_imagenet", {"budget.epochs": 135, "schedule.milestones": [45, 75, 105]}),
        ("protocol=adamsrt_imagenet source=code", {"budget.epochs": 405, "schedule.milestones": [135, 225, 315]}),
        (
            "protocol=adamsrt tuned=adamsrt optimizer=adamw model=resnet20 source=code",
            {"optimizer.weight_decay": 1e-2, "optimizer.betas": [0.9, 0.99]},
        ),
        ("protocol=adamsrt tuned=adamsrt optimizer=adamg", {"optimizer.rest": "adam", "optimizer.lr_ratio": 1.0}),
        ("protocol=adamp_imagenet tuned=adamp optimizer=sgdg", {"optimizer.lr": 0.1, "optimizer.lr_ratio": 1.0}),
        *(
            (
                f"protocol=sing_imagenet tuned=sing optimizer={name} model={net}",
                {"optimizer.lr": 1e-2, "optimizer.weight_decay": 5e-2, "optimizer.groups.no_decay": "bias_and_norm"},
            )
            for name in ("adamw", "gc_adamw", "adabelief")
            for net in ("resnet18_imagenet", "resnet34_imagenet")
        ),
        ("protocol=sing_rde tuned=sing optimizer=sgd", {"optimizer.momentum": 0.9}),
        ("protocol=sing_rde tuned=sing optimizer=sing_sgd", {"optimizer.betas": [0.9, 0.999]}),
        ("protocol=sing_rde tuned=sing optimizer=adabelief", {"optimizer.rectify": True, "optimizer.eps": 1e-16}),
        ("protocol=sing_rde tuned=sing optimizer=adafactor", {"optimizer.target": "optim.Adafactor"}),
        ("optimizer=adafactor_torch", {"optimizer.target": "torch.optim.Adafactor"}),
        ("protocol=adamp_imagenet tuned=adamp optimizer=adamp", {"optimizer.decay": "absolute"}),
        ("protocol=adamp_imagenet tuned=adamp optimizer=adamp source=text", {"optimizer.wd_ratio": 1.0}),
        ("protocol=adamp_cutmix", {"mix": "cutmix", "model": "resnet50_imagenet", "budget.epochs": 150}),
        ("protocol=sing_imagenet", {"model.blurpool": True, "data.eval_size": 256, "schedule": "linear"}),
        ("protocol=sing_cifar100", {"freeze": "norm_affine", "data.augment.rotation": 15.0}),
        ("protocol=rmsgd_adp source=code", {"class_weights": True, "data.test_split": "valid"}),
    ],
)
def test_what_a_protocol_fixes(words, expected):
    from conf.compose import compose

    config = compose(words.split())
    assert {key: _at(config, key) for key in expected} == expected
