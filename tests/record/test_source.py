"""A changed sign is noticed; a changed comment, docstring, format or file name is not."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from record import provenance, source
from record.identity import run_folder
from record.read import read_result
from record.run import Run
from record.source import changed, source_hash, source_hashes
from record.supervise import skip_if_finished
from reports import explain
from tests.record.test_read import edit
from tests.record.test_run import finish

FILES = {
    "__init__.py": "from .lion import Lion\nfrom .other import Unused\n",
    "lion.py": "from . import stages\n\nRATE = 0.1\n\nclass Lion:\n    def step(self, x):\n"
    "        return x - RATE * stages.sign(x)\n",
    "stages.py": "import math\n\ndef sign(x):\n    return math.copysign(1, x)\n",
    "other.py": "class Unused:\n    pass\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "lions"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    write(folder, FILES)
    yield folder
    forget()


def write(folder: Path, files: dict[str, str]) -> None:
    for path in folder.iterdir():
        path.unlink()
    for name, text in files.items():
        (folder / name).write_text(text)


def forget() -> None:
    for cached in (source_hash, source._file, source._module, source._classes):
        cached.cache_clear()


def hashed(folder: Path, name: str = "", before: str = "", after: str = "", new: str = "") -> str | None:
    """Return the hash after a replacement in one file, and its renaming."""
    files = dict(FILES)
    if name:
        assert before in files[name]
        files[new or name] = files.pop(name).replace(before, after)
    write(folder, files)
    forget()
    return source_hash("lions.Lion")


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("lion.py", "x - RATE", "x + RATE"),
        ("lion.py", "RATE = 0.1", "RATE = 0.2"),
        ("stages.py", "copysign(1, x)", "copysign(1, -x)"),
    ],
)
def test_a_changed_sign_is_noticed_wherever_it_is(package: Path, name: str, before: str, after: str) -> None:
    assert hashed(package, name, before, after) != hashed(package)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("lion.py", "class Lion:\n", 'class Lion:\n    """It roars."""\n\n'),
        ("lion.py", "x - RATE * stages.sign(x)", "(\n            x-RATE*stages.sign(x))  # down"),
        ("stages.py", "    return", "    # the sign\n    return"),
        ("stages.py", "import math\n", "import math\nimport os\n\n\ndef unused():\n    return os.name\n"),
        ("other.py", "pass", "x = 1"),
    ],
)
def test_what_changes_no_result_is_not_noticed(package: Path, name: str, before: str, after: str) -> None:
    assert hashed(package, name, before, after) == hashed(package)


def test_a_renamed_file_is_not_noticed(package: Path) -> None:
    first = hashed(package)
    files = {name.replace("stages", "signs"): text.replace("stages", "signs") for name, text in FILES.items()}
    write(package, files)
    forget()
    assert source_hash("lions.Lion") == first is not None


def test_code_that_cannot_be_found_and_torchs_own_have_no_hash() -> None:
    assert [source_hash(target) for target in ("nowhere.Net", "torch.optim.SGD", "math.sin", "x", "")] == [None] * 5


def test_each_optimizer_of_ours_has_its_own_hash_without_torch() -> None:
    names = "h('optim.SING'), h('optim.AdamP'), 'torch' in sys.modules"
    code = f"import sys; from record.source import source_hash as h; print({names})"
    root = Path(__file__).parents[2]
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root).stdout
    sing, adamp, torch = told.split()
    assert len({sing, adamp, "None"}) == 3
    assert torch == "False"


def test_the_stages_that_a_chain_names_are_part_of_it() -> None:
    def hashed(*stages: object) -> str:
        return source_hashes({"optimizer": {"target": "optim.Chain", "stages": list(stages), "lr": 0.1}})["optimizer"]

    assert len({hashed(), hashed("adam"), hashed("adam", {"normalize": None}), hashed("adam", "lions.Lion")}) == 3
    nested = {"optimizer": {"target": "optim.Chain", "base": {"adam": {"betas": [0.9]}}, "stages": ["centralize"]}}
    row = {"source.optimizer": source_hashes(nested)["optimizer"], "config.optimizer.target": "optim.Chain"}
    row |= {"config.optimizer.base.adam.betas": [0.9], "config.optimizer.stages": ["centralize"]}
    assert changed(row) == []
    assert changed(row | {"config.optimizer.stages": ["adam"]}) == ["optimizer"]


def test_a_dotted_stage_is_followed(package: Path) -> None:
    def hashed() -> str:
        forget()
        return source_hashes({"optimizer": {"target": "optim.Chain", "stages": ["lions.Lion"]}})["optimizer"]

    first = hashed()
    write(package, FILES | {"lion.py": FILES["lion.py"].replace("x - RATE", "x + RATE")})
    assert hashed() != first


def test_a_finished_run_of_other_code_says_so_and_can_be_made_again(tmp_path, config, capsys) -> None:
    config["optimizer"]["target"] = "optim.SING"
    config["paths"] = {"store": str(tmp_path)}
    finish(tmp_path, config)
    folder = run_folder(tmp_path, config)
    assert skip_if_finished(config)
    assert capsys.readouterr().out.startswith("already there: done")
    edit(folder, source={"optimizer": "0" * 16, "model": read_result(folder)["source"]["model"]})
    assert skip_if_finished(config)
    assert capsys.readouterr().out.startswith(
        "already there, but its code differs (optimizer); rerun=true makes it again: done"
    )
    assert not skip_if_finished(config | {"rerun": True})
    with Run(tmp_path, config | {"rerun": True}) as run:
        run.finish({"state": "done", "metrics": {"test_top1": 91.0}})
    assert read_result(folder)["metrics"] == {"test_top1": 91.0}
    (kept,) = (tmp_path / ".replaced").glob("*/*/*/*/result.json")
    assert '"test_top1": 90.0' in kept.read_text()


def test_code_that_changed_between_attempts_is_never_todays() -> None:
    attempts = [{"started": 1.0, "overrides": [], "versions": {}, "source": {"optimizer": found}} for found in "ab"]
    assert provenance.provenance(attempts)["source"] == {"optimizer": None}
    assert changed({"source.optimizer": None, "config.optimizer.target": "optim.SING"}) == ["optimizer"]


def test_an_untracked_file_is_a_change_and_is_in_the_diff(tmp_path, monkeypatch) -> None:
    def git(*words: str) -> None:
        name = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", tmp_path, *name, *words], check=True, capture_output=True)

    def commit_and_diff() -> tuple[bool, str]:
        provenance.environment.cache_clear()
        provenance.code_diff.cache_clear()
        return provenance.environment()["dirty"], provenance.code_diff()

    monkeypatch.setattr(provenance, "_ROOT", tmp_path)
    (tmp_path / "old.py").write_text("a = 1\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    assert commit_and_diff() == (False, "")
    (tmp_path / "new.py").write_text("b = 2\n")
    dirty, diff = commit_and_diff()
    assert dirty
    assert "+b = 2" in diff
    (tmp_path / "old.py").write_text("a = 3\n")
    assert "+a = 3" in commit_and_diff()[1]
    monkeypatch.setattr(provenance, "MOST_DIFF", 20)
    assert "new.py" in commit_and_diff()[1]
    assert "+b = 2" not in commit_and_diff()[1]
    monkeypatch.undo()
    provenance.environment.cache_clear()
    provenance.code_diff.cache_clear()


def test_explain_names_the_code_that_changed_and_what_was_not_committed() -> None:
    row = {"seed": 0, "id": "a", "state": "done", "folder": "f", "commits": ["c" * 40], "dirty": True}
    row |= {"source.optimizer": "0" * 16, "config.optimizer.target": "optim.SING"}
    assert "commit cccccccccc, changed" in explain._run(row, "1")
    assert "the code of its optimizer differs today" in explain._run(row, "1")
