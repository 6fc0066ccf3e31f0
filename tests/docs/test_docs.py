"""The documentation names what exists: pages, keys, and command lines that can be run."""

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf import groups
from conf.compose import compose
from conf.multirun import split

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND = re.compile(r"(?m)^ +(?:\$ )?(?:python|torchrun \S+) train\.py ((?:.+\\\n)*.+)\n(?! *stepbench:)")

ROOMS = "benchmarks conf data docs examples models optim papers probes record reports results sweep tests training"
FILE = re.compile(rf"\b((?:{ROOMS.replace(' ', '|')})/[\w/]+\.(?:py|md|yaml|csv))(?:::(\w+))?")
READERS = {"...", "--help", "--config-dir"}  # of a command line that is not complete, or needs a folder of the reader's
READERS_OWN = ("lion", "shapes")  # files that a tutorial has its readers write


def made() -> dict[str, str]:
    """Return path -> text of the pages that docs/hooks.py makes."""
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return hooks.pages()


def named(entry: Any) -> list[str]:
    """Return the pages that a navigation names."""
    if isinstance(entry, str):
        return [entry]
    return [page for part in (entry.values() if isinstance(entry, dict) else entry) for page in named(part)]


def test_the_menu_names_every_page_once() -> None:
    menu = named(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    written = [path.relative_to(ROOT / "docs").as_posix() for path in PAGES if path.is_relative_to(ROOT / "docs")]
    assert sorted(menu) == sorted([*written, *made()])


def test_an_included_file_is_written_as_the_site_reads_it() -> None:
    """ruff's formatter takes the marker in a block of ```python for Python, and puts spaces where none may be."""
    lines = [line for page in PAGES for line in page.read_text().splitlines() if re.match(r"-+ *8 *<", line)]
    assert lines
    assert all(re.fullmatch(r'--8<-- "[\w/.]+(:\w+)?"', line) for line in lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_files_and_tests_that_a_page_names_exist(page: Path) -> None:
    names = set(FILE.findall(page.read_text()))
    assert not [name for name, _ in names if not (ROOT / name).exists() and Path(name).stem not in READERS_OWN]
    assert not [f"{name}::{test}" for name, test in names if test and f"def {test}(" not in (ROOT / name).read_text()]


@pytest.mark.parametrize("group", groups.CHECKED)
def test_the_reference_has_every_key_of_every_option(group: str) -> None:
    page = made()[f"reference/config/{group}.md"]
    for path in (groups.ROOT / group).glob("*.yaml"):
        section = page.split(f"## {path.stem}\n", 1)[1].split("\n## ", 1)[0]
        keys = groups.raw(group, path.stem).keys() - {*groups.NAMING, *groups.RESERVED}
        assert not [key for key in keys if f"| `{group}.{key}" not in section], path.stem


def commands() -> list[Any]:
    found = []
    for path in PAGES:
        text = path.read_text()
        own = [f"={name}" for name in re.findall(r"(?m)^name: (\w+)$", text)]  # options that the page itself makes
        for line in COMMAND.findall(text):
            words = shlex.split(line.replace("\\\n", " "), comments=True)
            if not READERS & set(words) and not any(word.endswith(tuple(own)) for word in words if own):
                found.append(pytest.param(words, id=f"{path.stem}: {' '.join(words)}"))
    return found


@pytest.fixture
def readers_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the readers of own_data.md, own_study.md and protocols.md have; the package `datasets` is an extra."""
    from PIL import Image

    for folder in ("flowers/rose", "flowers/tulip", "leaves/oak", "leaves/willow"):
        (tmp_path / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / folder / "0.png")
    monkeypatch.chdir(tmp_path)
    for weights in ("resnet18.safetensors", "resnet8.pt"):
        (tmp_path / weights).touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STEPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("data.hf.dataset_facts", lambda options, cache: {"num_classes": 3, "in_channels": 3})


@pytest.mark.usefixtures("readers_home")
@pytest.mark.parametrize("words", commands())
def test_a_command_line_in_the_docs_can_be_run(words: list[str]) -> None:
    overrides = [word for word in words if word not in ("-m", "--cfg", "job")]
    if "-m" in words:
        split(overrides)
    else:
        compose(overrides)
