"""Composition: precedence, scales, sources, plug-ins, and the identity of what comes out."""

import subprocess
import sys
from functools import reduce
from importlib.metadata import EntryPoint

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from conf import describe, groups
from conf.compose import compose, composed
from conf.errors import UsageError
from conf.grammar import parse
from conf.layers import layered, resolved
from conf.tuned import read
from record.identity import run_id, semantic


def test_defaults_make_a_run_on_digits() -> None:
    config = compose([])
    assert config["data"]["name"] == "digits"
    assert not {"ranges", "sources"} & config["optimizer"].keys()
    assert "replace" not in config


@pytest.mark.parametrize(
    "line",
    [
        "optimizer=sing probe=[norms,ranks] logger=tensorboard seed=3 optimizer.lr=0.2",
        "protocol=rmsgd_cifar_cutout_wallclock optimizer=rmsgd",
        "experiment=example protocol=adamp_cutmix data.augment={flip:both} checkpoint.every_steps=3",
        "protocol=sing_imagenet_cosine scale=cpu model=resnet20",
        "scale=smoke protocol=sing_rde schedule=constant",
        "optimizer.groups.invariance={channel:[a],layer:[b]} label_smoothing=${optimizer.weight_decay}",
    ],
)
def test_the_layers_are_those_of_hydra(line: str) -> None:
    with initialize_config_dir(str(groups.ROOT), version_base="1.3"):
        theirs = hydra_compose("train", [f"++{w}" if "." in w.split("=")[0] else w for w in line.split()])
    expected = OmegaConf.to_container(theirs, resolve=True)
    for node in (expected, *(expected[group] for group in groups.CHECKED)):
        node.pop("ranges", None)
    made, _ = layered(parse(line.split()), {})
    assert resolved(made) == expected


def test_command_line_beats_protocol_beats_group(tmp_path, monkeypatch) -> None:
    assert compose(["optimizer=sgd"])["batch_size"] == 128
    protocol = "adamsrt_imagenet"
    fixed = compose([f"protocol={protocol}", "data=imagenet", "model=resnet18_imagenet"])["batch_size"]
    assert fixed == 256
    own = compose([f"protocol={protocol}", "data=imagenet", "model=resnet18_imagenet", "batch_size=32"])
    assert own["batch_size"] == 32


def test_one_number_in_two_spellings_is_one_run() -> None:
    ids = {run_id(semantic(compose(["optimizer=sgd", f"optimizer.lr={lr}"]))) for lr in ("1e-3", "0.001", ".001")}
    assert len(ids) == 1
    assert run_id(semantic(compose(["optimizer=sgd", "optimizer.lr=0.002"]))) not in ids


def test_runtime_keys_are_no_part_of_the_identity() -> None:
    plain = run_id(semantic(compose([])))
    for word in ("workers=0", "paths.store=/elsewhere", "progress=false", "checkpoint.every_steps=3", "device=cpu"):
        assert run_id(semantic(compose([word]))) == plain
    for word in ("seed=1", "precision=bf16", "evaluate.every_epochs=2", "channels_last=true"):
        assert run_id(semantic(compose([word]))) != plain


def test_smoke_scale_makes_two_steps_on_synthetic_data_unless_told_otherwise() -> None:
    config = compose(["scale=smoke", "data=cifar10", "model=resnet34"])
    assert config["budget"] | {"version": 1} == config["budget"]
    assert config["budget"]["steps"] == 2
    assert config["data"]["synthetic"] > 0
    assert compose(["scale=smoke", "data=cifar10", "data.synthetic=40"])["data"]["synthetic"] == 40


def test_cpu_scale_swaps_nets_and_shrinks_epochs_with_their_milestones() -> None:
    words = ["scale=cpu", "data=cifar10", "model=resnet34", "schedule=multistep", "schedule.milestones=[100,150]"]
    config = compose([*words, "budget.epochs=200"])
    assert (config["data"]["name"], config["model"]["name"]) == ("cifar10_jpeg", "resnet20")
    assert config["budget"]["epochs"] == 10
    assert config["schedule"]["milestones"] == [5, 8]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("protocol=sing_rde", {"budget.steps": 4000, "schedule.warmup_fraction": 0.05}),
        ("protocol=sing_rde budget.steps=300", {"budget.steps": 300}),
        ("budget=seconds budget.seconds=9000", {"budget.seconds": 600}),
        ("protocol=rmsgd_cifar_wallclock", {"budget.epochs": 10, "schedule.name": "cosine", "data.validation": 0.02}),
        ("protocol=sing_imagenet model=vgg16_bn", {"budget.epochs": 10, "model.width_multiplier": 0.125}),
        ("protocol=adamsrt data=svhn", {"data.name": "fashion_mnist", "data.train": 10000, "model.layers": 8}),
        (
            "budget=steps budget.steps=40000 schedule=multistep schedule.milestones=[100,150]",
            {"budget.steps": 4000, "schedule.milestones": [10, 15]},
        ),
        (
            "optimizer=rmsgd optimizer.step_size=50 budget.epochs=100 evaluate.every_epochs=30",
            {"optimizer.step_size": 5, "evaluate.every_epochs": 3},
        ),
        ("optimizer=rmsgd budget.epochs=100 probe=ranks probe.ranks.every_epochs=20", {"optimizer.step_size": 0}),
    ],
)
def test_cpu_scale_shrinks_every_length(words, expected) -> None:
    assert at(compose([*words.split(), "scale=cpu"]), expected) == expected


def at(config, keys) -> dict[str, object]:
    return {key: reduce(lambda node, part: node[part], key.split("."), config) for key in keys}


def test_a_scale_shrinks_what_a_budget_has() -> None:
    known = {key for option in groups.options("budget") for key in groups.raw("budget", option)}
    for option in groups.options("scale"):
        assert groups.raw("scale", option).get("shrink", {}).keys() <= known


def test_smoke_scale_is_two_steps_for_a_table_that_counts_steps() -> None:
    assert compose(["protocol=sing_rde", "budget.steps=4000", "scale=smoke"])["budget"]["steps"] == 2


def test_smoke_scale_leaves_the_study_a_validation_image() -> None:
    data = compose(["protocol=study", "tuned=study", "optimizer=sgd", "scale=smoke"])["data"]
    assert round(data["synthetic"] * data["validation"]) >= 1
    assert data["train"] == 0


def test_a_replaced_schedule_takes_its_keys_along() -> None:
    protocol = "adamsrt"
    config = compose([f"protocol={protocol}", "data=cifar10", "schedule=cosine"])
    assert "milestones" not in config["schedule"]
    with pytest.raises(UsageError, match="unknown 'milestones'"):
        compose([f"protocol={protocol}", "data=cifar10", "schedule=cosine", "schedule.milestones=[1]"])


def test_reference_mode_turns_accelerators_off() -> None:
    assert compose(["mode=reference"])["precision"] == "fp32"
    with pytest.raises(UsageError, match="precision: 'bf16' contradicts mode=reference"):
        compose(["mode=reference", "precision=bf16"])


def test_several_probes_at_once() -> None:
    assert set(compose(["probe=norms,spherical"])["probe"]) == {"norms", "spherical"}


def test_protocols_say_nothing_of_the_optimizer() -> None:
    for option in groups.options("protocol"):
        content = groups.raw("protocol", option)
        assert "optimizer" not in content
        assert not any("optimizer" in str(entry) for entry in content.get("defaults", []))


def test_an_installed_plug_in_is_an_optimizer(monkeypatch) -> None:
    entry = EntryPoint("their_sgd", "torch.optim:SGD", "stepbench.optimizers")
    monkeypatch.setattr(groups, "entry_points", lambda group: [entry])
    groups.plugins.cache_clear()
    groups.options.cache_clear()
    try:
        optimizer = compose(["optimizer=their_sgd", "optimizer.lr=0.5"])["optimizer"]
        assert optimizer["target"] == "torch.optim.SGD"
        assert optimizer["args"] == {"lr": 0.5}
        assert optimizer["name"] == "their_sgd"
    finally:
        monkeypatch.undo()
        groups.plugins.cache_clear()
        groups.options.cache_clear()


def test_an_experiment_is_a_command_line_with_a_name() -> None:
    words = ["model=resnet20", "optimizer=sing", "batch_size=64", "optimizer.lr=1e-2", "budget.epochs=10"]
    assert compose(["experiment=example"]) == compose(words)
    assert compose(["experiment=example", "budget.epochs=3", "model=resnet34"]) == compose(
        [*words, "budget.epochs=3", "model=resnet34"]
    )


def test_an_experiments_values_are_its_optimizers() -> None:
    other = compose(["experiment=example", "optimizer=adamp"])
    assert other == compose(["model=resnet20", "optimizer=adamp", "batch_size=64", "budget.epochs=10"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("optimizer=sing", {"budget.epochs": 3, "freeze": "norm_affine"}),
        ("optimizer=adamw", {"budget.epochs": 2, "freeze": "none"}),
        ("optimizer=sing budget.epochs=1", {"budget.epochs": 1}),
        ("optimizer=sing budget=steps budget.steps=9", {"budget.steps": 9}),
        ("optimizer=sing scale=smoke", {"budget.steps": 2}),
    ],
)
def test_tuned_epochs_are_of_a_budget_in_epochs(words, expected) -> None:
    config = compose(["protocol=sing_squad", "tuned=sing", *words.split()])
    assert at(config, expected) == expected
    assert ("epochs" in config["budget"]) is ("budget.epochs" in expected)


def test_an_experiment_goes_before_tuned_values() -> None:
    tuned = ["protocol=sing_cifar100", "tuned=sing", "model=resnet18"]
    for optimizer, lr in (("sing", 1e-2), ("adamw", 1e-3)):
        without = compose([*tuned, f"optimizer={optimizer}"])["optimizer"]
        assert compose([*tuned, f"optimizer={optimizer}", "experiment=example"])["optimizer"] == without | {"lr": lr}


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """A folder of the user's yamls."""
    monkeypatch.setenv(groups.FOLDER, "")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /data: mine\nseed: 7\n"
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text(describe.text("data", "digits").replace("name: digits", "name: mine"))
    groups.add_folder(tmp_path)
    yield tmp_path
    monkeypatch.undo()
    for cached in (groups.options, groups.raw):
        cached.cache_clear()


def test_a_folder_of_ones_own_adds_options(own_folder) -> None:
    config = compose(["experiment=mine"])
    assert (config["data"]["name"], config["seed"]) == ("mine", 7)
    (own_folder / "experiment" / "bad.yaml").write_text("defaults:\n  - override /dta: mine\n")
    groups.options.cache_clear()
    with pytest.raises(UsageError, match=r"bad.yaml: defaults: unknown 'override /dta'.*nearest: override /data"):
        compose(["experiment=bad"])


def test_several_command_lines_are_composed_at_once() -> None:
    lines = [("optimizer=sgd",), ("optimizer=adma",), ("optimizer=sgd",)]
    configs, reasons = composed(lines)
    assert configs == {lines[0]: compose(["optimizer=sgd"])}
    assert reasons.keys() == {lines[1]}


def test_composing_needs_no_torch() -> None:
    code = "import sys; from conf.compose import compose; compose([]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 4.0), ("l2", 80.0)])
def test_a_scales_values_are_those_of_the_data_and_net_that_it_puts_in_place(norm, epsilon):
    """AdamP's table at scale cpu takes what the study's own words take."""
    attack = [f"task.{part}.{pair}" for part in ("train", "test") for pair in (f"norm={norm}", f"epsilon={epsilon}")]
    words = ["scale=cpu", "optimizer=adam", *attack]
    papers = compose([*words, "protocol=adamp_adversarial", "tuned=adamp", "data=cifar10", "model=wrn_34_10"])
    ours = compose([*words, "protocol=study_adversarial", "tuned=study", "data=cifar10_jpeg", "model=resnet20"])
    assert papers["optimizer"] == ours["optimizer"]
    mine = [entry for entry in read("study_rates") if entry["optimizer"] == "adam"]
    rates = [entry["set"] for entry in mine if entry.get("where", {}).get("task.train.norm") == norm]
    assert rates == [{"optimizer.lr": ours["optimizer"]["lr"]}]
