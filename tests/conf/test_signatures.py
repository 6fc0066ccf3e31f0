"""Each yaml is the schema of its target: every keyword with its own default, and facts that hold."""

import inspect
from dataclasses import fields
from importlib import import_module

import pytest

from conf import groups
from conf.check import check_value
from data.memory import Recipe

FACTS = ("num_classes", "in_channels", "image_size")
RESERVED = {
    "optimizer": {"name", "label", "target", "version", "decay", "groups", "ranges", "sources", "args"},
    "model": {"name", "target", "version", "input", "force", "task", "ranges", "sources", "args"}
    | {"weights", "fingerprint"},
    "data": {"name", "target", "version", "task", "ranges", "sources", "found", *FACTS},
    "task": {"name", "target", "version", "ranges", *groups.TASK_FACTS},
    "schedule": {"name", "target", "version", "ranges"},
    "budget": {"name", "target", "version", "ranges"},
}
# Given by the caller, not by the configuration.
GIVEN = {
    "optimizer": {
        "params",
        "param_groups",
        "maximize",
        "foreach",
        "capturable",
        "differentiable",
        "fused",
        "compile",
        "decay",
    },
    "model": {"num_classes", "in_channels", "image_size", "name", "args", "weights"},
    "data": {"place"},
    "task": {"num_classes", "normalise", "label_smoothing", "class_weights"},
    "schedule": set(),
    "budget": {"seconds"},
}
OTHERWISE = {("sgd", "lr"), ("sgd", "momentum")}  # with torch's own SGD hardly trains
ENTRIES = [(group, option) for group in RESERVED for option in groups.options(group) if option != "custom"]


def target(group: str, option: str):
    module, _, name = groups.raw(group, option)["target"].rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize(("group", "option"), ENTRIES, ids=lambda value: str(value))
def test_the_yaml_lists_what_the_target_takes(group: str, option: str) -> None:
    listed = {key: value for key, value in groups.raw(group, option).items() if key not in RESERVED[group]}
    taken = inspect.signature(target(group, option)).parameters
    named = {
        name: parameter.default
        for name, parameter in taken.items()
        if parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        and name not in GIVEN[group] - ({"seconds"} if option == "seconds" else set())
    }
    if "recipe" in named:  # of data sets: its fields are keys
        del named["recipe"]
        assert set(listed) - set(named) <= {field.name for field in fields(Recipe)}
        listed = {key: value for key, value in listed.items() if key in named}
    assert set(listed) == set(named)
    kin = [o for o in groups.options(group) if groups.raw(group, o)["target"] == groups.raw(group, option)["target"]]
    for name, default in named.items():
        if default is not inspect.Parameter.empty and group != "data" and (option, name) not in OTHERWISE:
            # Of several options over one class (sing, sing_sgd, ...) one has the class's default.
            values = [plain(groups.raw(group, o)[name]) for o in kin]
            assert plain(default) in values, f"{group}={option}: {name}"


def plain(value):
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("task", groups.TASKS)
def test_a_task_takes_what_its_class_names(task: str) -> None:
    taken = inspect.signature(target("task", task)).parameters
    assert {*groups.raw("task", task)["takes"]} - {"mix"} <= {*taken}


@pytest.mark.parametrize("group", groups.CHECKED)
def test_defaults_lie_in_their_ranges(group: str) -> None:
    for option in groups.options(group):
        content = groups.raw(group, option)
        for key, allowed in content.get("ranges", {}).items():
            value = content
            for part in key.split("."):
                assert part in value, f"{group}={option}: a range for {key}, which is no key"
                value = value[part]
            if value is not None:
                check_value(f"{group}={option} {key}", value, value, allowed)


@pytest.mark.parametrize("option", [name for name in groups.options("optimizer") if name != "custom"])
def test_an_optimizer_names_its_source_and_its_decay(option: str) -> None:
    content = groups.raw("optimizer", option)
    assert content["name"] == option
    assert content["decay"] in ("decoupled", "coupled", "absolute")
    assert (groups.ROOT / "optimizer" / f"{option}.yaml").read_text().startswith("# ")


def test_every_optimizer_has_a_proper_name_of_its_own() -> None:
    names = [groups.label(option) for option in groups.files("optimizer")]
    assert len({*names}) == len(names)
    assert [groups.label(option) for option in ("adamw", "sing_sgd", "somebodys")] == [
        "AdamW",
        "SING (SGD)",
        "somebodys",
    ]
    assert not [option for option in groups.files("optimizer") if "label" not in groups.raw("optimizer", option)]
