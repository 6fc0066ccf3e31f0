"""The rules of the layout: which folder may import which, how long a function may be, what may be written nowhere."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    *("conf", "optim", "models", "data", "training", "probes", "record"),
    *("papers", "sweep", "reports", "benchmarks", "examples"),
)
# What each room may import of the others; train.py may import all that trains.
MAY = {
    "conf": {"papers"},  # tuned values are data of papers/
    "papers": {"conf"},
    "optim": set(),
    "models": set(),
    "data": set(),
    "training": set(),
    "probes": {"optim"},  # RMSGD's metrics are written once, in optim/evbmf.py
    "record": set(),
    "sweep": {"conf", "papers", "record"},
    "reports": {"conf", "papers", "record"},
    "examples": {"optim", "record"},  # what a user's script needs
}
# What one folder or file may import besides: the papers' analyses train; the old name of `python -m reports analyse`.
BESIDES = {
    "reports/analyses": {"models", "data", "optim", "training", "probes"},
    "probes/__main__.py": {"conf", "reports"},
    "record/__main__.py": {"conf", "sweep"},  # a command line; `clean --table` asks which runs a table has
    "optim/library.py": {"conf"},  # in the clone; a wheel has what it reads there as a file
}
LONGEST = 60


def sources(room: str = "") -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py"], cwd=ROOT, capture_output=True, text=True
    )
    return [ROOT / name for name in listed.stdout.split() if name.startswith(room) and (ROOT / name).exists()]


def imported_rooms(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
        yield from (name.split(".")[0] for name in names)


@pytest.mark.parametrize("room", MAY)
def test_imports_point_one_way(room: str) -> None:
    for path in sources(f"{room}/"):
        foreign = {name for name in imported_rooms(path) if name in (*ROOMS, "train")} - {room}
        place = path.relative_to(ROOT)
        allowed = MAY[room].union(*(BESIDES.get(str(one), ()) for one in (place, place.parent)))
        assert foreign <= allowed, f"{path.relative_to(ROOT)} imports {sorted(foreign - allowed)}"


def test_the_optimizers_are_importable_under_another_name() -> None:
    """A wheel has them as `stepbench.optim`."""
    for path in sources("optim/"):
        assert "optim" not in imported_rooms(path), f"{path.relative_to(ROOT)}: import relatively"


@pytest.mark.parametrize("room", ["conf", "papers", "sweep", "reports"])
def test_rooms_that_import_without_torch(room: str) -> None:
    for path in sources(f"{room}/"):
        if "analyses" in path.parts and path.name != "command.py":  # these train
            continue
        top = ast.parse(path.read_text()).body
        names = [a.name for node in top if isinstance(node, ast.Import) for a in node.names]
        names += [node.module or "" for node in top if isinstance(node, ast.ImportFrom)]
        assert not [name for name in names if name.split(".")[0] == "torch"], path.relative_to(ROOT)


def test_no_function_is_long() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > LONGEST
    ]
    assert not long


def test_train_py_is_readable_in_one_sitting() -> None:
    assert len((ROOT / "train.py").read_text().splitlines()) <= 350


def test_nothing_of_one_machine_is_written_down() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    stray = re.compile("|".join(map(re.escape, (str(ROOT), f"{Path.home()}/", "--index" + "-url"))))
    for name in listed:
        path = ROOT / name
        if (
            path != Path(__file__)
            and path.is_file()
            and path.suffix in (".py", ".md", ".yaml", ".yml", ".cff", ".toml", ".lock", ".json", ".csv")
        ):
            found = stray.search(path.read_text(errors="ignore"))
            assert found is None, f"{name}: {found[0]}"


def test_yaml_is_read_in_one_place() -> None:
    """PyYAML takes 1e-3 for a text, and OmegaConf takes 010 for 8."""
    reads = re.compile(r"\byaml\.\w*load|OmegaConf\.load")
    found = [path for path in sources() if reads.search(path.read_text()) and "tests" not in path.parts]
    assert found == [ROOT / "conf" / "yamls.py"]
