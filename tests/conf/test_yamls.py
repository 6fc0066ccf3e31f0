"""YAML as the whole suite reads it: numbers as on the command line, and a line for every file that cannot be read."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from conf import yamls
from conf.errors import UsageError
from conf.grammar import parse

NUMBERS = ("1e-3", "1E5", ".5", "5.", "1_000", "1e+3", "-.5", "+.5", ".5e3", "1.e5", "-1e-3", "0", "-0", "3", "1_0.5")
TEXTS = ("007", "010", "1__0", "00.5", "1e", "1:30", "0x1F", "2020-01-01", "2020-01-01 10:00:00", "e5", "y", "n")
NAMED = {"on": True, "off": False, "yes": True, "no": False, "true": True, "False": False, "null": None, "~": None}


def read(folder: Path, content: str | bytes) -> Any:
    path = folder / "file.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return yamls.load(path)


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_is_what_the_command_line_makes_of_it(tmp_path: Path, text: str) -> None:
    value, wanted = read(tmp_path, f"a: [{text}]")["a"][0], parse([f"a={text}"])[0].value()
    assert value == wanted
    assert type(value) is type(wanted) in (int, float)


@pytest.mark.parametrize("text", TEXTS)
def test_what_the_command_line_does_not_take_for_a_number_is_a_text(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, f"a: {text}") == {"a": text}


def test_named_values_are_those_of_hydras_yamls(tmp_path: Path) -> None:
    text = "\n".join(f"a{number}: {name}" for number, name in enumerate(NAMED))
    assert list(read(tmp_path, text).values()) == list(NAMED.values())
    assert read(tmp_path, text) == OmegaConf.to_container(OmegaConf.create(text))
    assert read(tmp_path, "a: .inf\nb: -.inf") == {"a": float("inf"), "b": -float("inf")}


def test_every_yaml_of_the_suite_reads_as_hydra_reads_it() -> None:
    for path in (path for room in ("conf", "papers") for path in Path(room).rglob("*.yaml")):
        assert repr(yamls.load(path)) == repr(OmegaConf.to_container(OmegaConf.load(path))), path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    content = {"a": ["1e-3", ".5", "on", "null", "2020-01-01", "007", "x", "ü", 1e-3, 1e22, 3, True, None], "on": "~"}
    assert read(tmp_path, yamls.dump(content)) == content
    assert "ü" in yamls.dump(content)
    assert yamls.dump({"one": content, "two": content}).count("&") == 0  # an anchor is nothing for a reader


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\nb: !!python/object/apply:os.system [x]", "line 2 is not YAML: .*os.system"),
        ("a: !!python/object/apply:pathlib.Path [x]", "line 1 is not YAML: .*pathlib"),
        ("a: !mine 1", "line 1 is not YAML: .*!mine"),
        ("a: !!binary aGk=", "line 1 is not YAML: .*binary"),
        ("a: 1\nb: {c: 1,\n c: 2}", "line 3 is not YAML: the key 'c' is there twice"),
        ("a: {1: x}", "line 1 is not YAML: the key '1' is not a word"),
        ("on: 1", "line 1 is not YAML: the key 'on' is not a word"),
        ("{[a]: 1}", "line 1 is not YAML: the key"),
        ("a: 1\nb: [1", "line 2 is not YAML"),
        ("a:\n\t- 1", "line 2 is not YAML: .*cannot start any token"),
        ("a: 1\n---\nb: 2", "line 2 is not YAML: but found another document"),
        ("a: 1\nb: &x [*x]", "line 2 is not YAML: .*recursive"),
        ("a: *x", "line 1 is not YAML: .*undefined alias"),
        ("a: 1\nb: \0", "line 2 is not YAML: special characters"),
        ("a: 1\nb: " + "9" * 5000, "line 2 is not YAML: Exceeds the limit"),
        ("[" * 5000 + "]" * 5000, "is nested too deeply"),
        ("a: 1\nb: ü".encode("latin-1"), "line 2 is not UTF-8"),
        ("a: ü".encode("utf-16"), "line 1 is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UsageError, match=rf"file\.yaml: {message}") as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "a folder, not a file"), (tmp_path / "none.yaml", "no such file")):
        with pytest.raises(UsageError, match=message):
            yamls.load(path)


def test_an_anchor_may_be_used_and_merged(tmp_path: Path) -> None:
    assert read(tmp_path, "a: &x {b: 1}\nc: {<<: *x, b: 2}\nd: *x") == {"a": {"b": 1}, "c": {"b": 2}, "d": {"b": 1}}
