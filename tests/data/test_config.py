"""Every conf/data yaml lists its target's keywords with their defaults, and states the facts of what is loaded."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import data
from data import RESERVED, needed

CONFIGS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(Path("conf/data").glob("*.yaml"))}


@pytest.mark.parametrize("name", CONFIGS)
def test_yaml_is_the_signature(name: str) -> None:
    options = CONFIGS[name]
    module, _, function = options["target"].rpartition(".")
    parameters = inspect.signature(getattr(import_module(module), function)).parameters
    defaults = {key: p.default for key, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert {key: value for key, value in options.items() if key not in RESERVED} == defaults
    assert options["name"] == name


@pytest.mark.parametrize("name", CONFIGS)
def test_facts_and_stand_in(name: str, tmp_path: Path) -> None:
    options = CONFIGS[name] | ({"stand_in": 24} if "stand_in" in CONFIGS[name] else {})
    loaded = data.load(options, root=tmp_path / "none", cache=tmp_path)  # load compares the facts
    assert len(loaded.train) == (24 if "stand_in" in options else 1437)
    assert len(loaded.fingerprint) == 64


@pytest.mark.parametrize(("key", "value"), [("num_classes", 9), ("image_size", 16), ("task", "binary")])
def test_a_wrong_fact_is_an_error(key: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^data\.{key}: .* but data\.digits\.digits has"):
        data.load(CONFIGS["digits"] | {key: value}, root=tmp_path, cache=tmp_path)


def test_a_target_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^data\.target: cannot import"):
        data.load({"target": "data.nothing.here"}, root=tmp_path, cache=tmp_path)


@pytest.mark.parametrize("name", sorted(needed.FILES))
def test_missing_files_are_looked_for_before_they_are_read(name: str, tmp_path: Path, monkeypatch) -> None:
    """`look` says what the reader says of an empty folder, and lists the files that the reader's own stand-in has."""
    monkeypatch.setattr(needed, "DEBIAN", tmp_path / "nothing")
    options = CONFIGS[name]
    with pytest.raises(FileNotFoundError) as looked:
        data.look(options, tmp_path / "empty")
    with pytest.raises(FileNotFoundError) as read:
        data.load(options, root=tmp_path / "empty", cache=tmp_path)
    assert str(looked.value) == str(read.value)
    data.load(options | {"stand_in": 24}, root=tmp_path, cache=tmp_path)
    data.look(options | {"stand_in": 24}, tmp_path / "empty")
    made = {path.name for path in (tmp_path / "stand_ins").rglob("*")}
    assert {Path(file).name for file in needed.FILES[name]} <= made


def test_files_that_are_there_are_found(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(needed, "DEBIAN", tmp_path / "nothing")
    for file in (*needed.FILES["svhn"], *(f"{file}.gz" for file in needed.FILES["fashion_mnist"])):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    data.look(CONFIGS["fashion_mnist"], tmp_path)
    data.look(CONFIGS["svhn"], tmp_path)
    with pytest.raises(FileNotFoundError, match="extra_32x32"):
        data.look(CONFIGS["svhn"] | {"extra": True}, tmp_path)
