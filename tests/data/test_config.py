"""Every conf/data yaml lists its target's keywords with their defaults, and states the facts of what is loaded."""

import inspect
from dataclasses import fields
from pathlib import Path
from pkgutil import resolve_name

import pytest
import yaml

import data
from data import RESERVED, needed
from data.augment import Augment
from data.dataset import Dataset, Place
from data.digits import digits
from data.memory import Recipe

CONFIGS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(Path("conf/data").glob("*.yaml"))}
OWN = {name for name, options in CONFIGS.items() if "found" in options}  # of a user's files: facts are found there


# Fields of the recipe that a set has no use for: ImageNet has its own augmentation, ADP a validation split.
UNUSED = {"imagenet": {"augment", "augment_validation"}, "adp": {"split_seed", "augment_validation", "train"}}
UNUSED |= {"imagenet9": {field.name for field in fields(Recipe)} - {"normalise"}}  # it holds nothing out
UNUSED |= {name: {"train"} for name in OWN}


@pytest.mark.parametrize("name", sorted(CONFIGS.keys() - {"custom"}))  # custom names the user's function
def test_yaml_is_the_signature(name: str) -> None:
    options = CONFIGS[name]
    parameters = inspect.signature(resolve_name(options["target"])).parameters
    defaults = {key: p.default for key, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    keys = {key: value for key, value in options.items() if key not in (*RESERVED, "found")}
    assert {key: value for key, value in keys.items() if key in defaults} == defaults
    recipe = {field.name for field in fields(Recipe)} - set(defaults) - UNUSED.get(name, set())
    assert set(keys) - set(defaults) == (recipe if "recipe" in parameters else set())
    assert options["name"] == name


def test_readers_get_what_they_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe and their own keywords, or the keywords alone."""
    found = {}

    def with_recipe(place: Place, recipe: Recipe, *, verify: bool = True) -> Dataset:
        found["recipe"] = recipe, verify
        return digits(place, recipe)

    def plain(place: Place, *, augment: dict[str, object], validation: float) -> Dataset:
        found["plain"] = augment, validation
        return digits(place, Recipe())

    monkeypatch.setattr("data.digits.with_recipe", with_recipe, raising=False)
    monkeypatch.setattr("data.digits.plain", plain, raising=False)
    options = {"augment": {"flip": "both"}, "validation": 0.2}
    for target, more in (("with_recipe", {"verify": False}), ("plain", {})):
        data.load({"target": f"data.digits.{target}", **options, **more}, Place(tmp_path, tmp_path))
    assert found == {"recipe": (Recipe(Augment(flip="both"), validation=0.2), False), "plain": ({"flip": "both"}, 0.2)}


@pytest.mark.parametrize("name", sorted(CONFIGS.keys() - OWN))
def test_facts_and_synthetic_data(name: str, tmp_path: Path) -> None:
    options = CONFIGS[name] | ({"synthetic": 24} if "synthetic" in CONFIGS[name] else {})
    loaded = data.load(options, Place(tmp_path / "none", tmp_path))  # load compares the facts
    if options["task"] != "language":  # whose samples are words
        assert len(loaded.train) == (24 if "synthetic" in options else 1437)
    assert len(loaded.fingerprint) == 64


@pytest.mark.parametrize(("key", "value"), [("num_classes", 9), ("image_size", 16), ("task", "binary")])
def test_a_wrong_fact_is_an_error(key: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^data\.{key}: .* but data\.digits\.digits has"):
        data.load(CONFIGS["digits"] | {key: value}, Place(tmp_path, tmp_path))


def test_a_target_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^data\.target: cannot import"):
        data.load({"target": "data.nothing.here"}, Place(tmp_path, tmp_path))


@pytest.mark.parametrize("name", sorted(needed.FILES))
def test_missing_files_are_looked_for_before_they_are_read(name: str, tmp_path: Path, monkeypatch) -> None:
    """`look` says what the reader says of an empty folder, and lists the files of the reader's own synthetic set."""
    monkeypatch.setattr(needed, "DEBIAN", tmp_path / "nothing")
    options = CONFIGS.get(name) or CONFIGS[f"biased_{name}"]
    with pytest.raises(FileNotFoundError) as looked:
        data.look(options, tmp_path / "empty")
    with pytest.raises(FileNotFoundError) as read:
        data.load(options, Place(tmp_path / "empty", tmp_path))
    assert str(looked.value) == str(read.value)
    data.load(options | {"synthetic": 24}, Place(tmp_path, tmp_path))
    data.look(options | {"synthetic": 24}, tmp_path / "empty")
    made = {path.name for path in (tmp_path / "synthetic").rglob("*")}
    assert {Path(file.format_map(options)).name for file in needed.FILES[name]} <= made


def test_files_that_are_there_are_found(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(needed, "DEBIAN", tmp_path / "nothing")
    for file in (*needed.FILES["svhn"], *(f"{file}.gz" for file in needed.FILES["fashion_mnist"])):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    data.look(CONFIGS["fashion_mnist"], tmp_path)
    data.look(CONFIGS["svhn"], tmp_path)
    with pytest.raises(FileNotFoundError, match="extra_32x32"):
        data.look(CONFIGS["svhn"] | {"extra": True}, tmp_path)
