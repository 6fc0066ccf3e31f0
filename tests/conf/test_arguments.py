"""Wrong arguments of every command: one line, exit code 1, before torch."""

import sys
from pathlib import Path

import pytest

from conf.cli import guarded
from reports import __main__ as reports
from reports.analyses import command as analyses
from sweep import __main__ as sweep
from sweep.arguments import parse

NUMBERS = {
    "run T": "--jobs --limit --retries --max-failures --timeout --cpus --gpus-per-run",
    "tune T --grids G --out o.yaml": "--jobs --seeds --validation",
    "status T": "--every",
    "rerun T": "--random --draw",
}
WRONG = [
    *(
        (sweep, f"{command} {flag} {value}")
        for command, flags in NUMBERS.items()
        for flag in flags.split()
        for value in ("-1", "nan", "inf", "1e400", "x", "''", "1_0", "٣")
    ),
    *((sweep, f"{command} --store {place}") for command in ("plan T", "status T", "verify") for place in ("''", "F")),
    *((sweep, f"status T --every {value}") for value in ("0", "1e300")),
    (sweep, "run T --jobs 0"),
    (sweep, "run T --jobs 1000000000"),
    (sweep, "run T --gpus ''"),
    (sweep, "run T --gpus 0,,1"),
    (sweep, "run T --cpus 0"),
    (sweep, "tune T --grids G --out o.yaml --validation 0"),
    (sweep, "tune T --grids G --out o.yaml --validation 1"),
    (sweep, "tune T --grids G --out o.yaml --seeds 0 0"),
    (sweep, "tune T --grids G --out o.yaml --only ,"),
    (sweep, "tune T --grids G --out o.yaml --metric loss"),
    (sweep, "tune T --grids G --out /dev/null"),
    (sweep, "tune T --grids G --out ''"),
    (sweep, "tune T --grids G --out F/o.yaml"),
    (sweep, "tune T --grids F --out o.yaml"),
    (sweep, "merge S /dev/null"),
    (sweep, "merge '' S"),
    (sweep, "merge S ''"),
    (sweep, "merge F S"),
    (sweep, "verify /dev/null"),
    (sweep, "verify S/none"),
    (sweep, "plan ''"),
    (sweep, "plan N"),
    (sweep, "plan T ''"),
    (sweep, "plan T seed"),
    (sweep, "plan T --scale ''"),
    (sweep, "rerun N"),
    *((reports, f"{command} --out {place}") for command in ("tables T", "report", "coverage") for place in ("''", "F")),
    *((reports, f"tables T --store {place}") for place in ("''", "F", "/dev/null", "N")),
    (reports, "tables ''"),
    (reports, "explain"),
    (reports, "compare sgd"),
    (reports, "tables T --scale ''"),
    (reports, ""),
    (analyses, "toy2d --out ''"),
    (analyses, "toy2d --out F"),
    (analyses, "toy2d --scale ''"),
    (analyses, "toy2d --data ''"),
    (analyses, "toy2d --run S"),
    (analyses, ""),
    (reports, "analyse toy3d"),
]


@pytest.fixture
def words(tmp_path: Path) -> dict[str, str]:
    """What stands for a table, grids, a file, an empty store and a name that no disk takes."""
    (tmp_path / "T.yaml").write_text("grid: [{optimizer: sgd}]")
    (tmp_path / "G.yaml").write_text("grids: {sgd: {optimizer.lr: [0.1, 0.2]}}")
    (tmp_path / "F").write_text("no folder")
    (tmp_path / "S").mkdir()
    named = {"T": "T.yaml", "G": "G.yaml", "F": "F", "S": "S", "F/o.yaml": "F/o.yaml", "S/none": "S/none"}
    return {word: str(tmp_path / name) for word, name in named.items()} | {"''": "", "N": "n" * 5000}


@pytest.mark.parametrize(("command", "line"), WRONG, ids=[f"{made.__name__} {line}" for made, line in WRONG])
def test_a_wrong_argument_is_one_line(command, line, words, monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would fail
    monkeypatch.setenv("STEPBENCH_TRAIN", "/dev/null")  # nothing may be started
    monkeypatch.setattr(reports, "OURS", tmp_path / "none")  # what it says of its runs is not about the argument
    monkeypatch.chdir(tmp_path)
    before = sorted(map(str, tmp_path.rglob("*")))
    with pytest.raises(SystemExit) as left:
        guarded(lambda: command.main([words.get(word, word) for word in line.split()]))
    captured = capsys.readouterr()
    assert left.value.code == 1
    assert len(captured.err.splitlines()) == 1, captured.err
    assert captured.err.startswith("stepbench: ")
    assert sorted(map(str, tmp_path.rglob("*"))) == before


def test_right_arguments_are_read() -> None:
    read = parse(["run", "T", "--jobs", "3", "--gpus", "0,1", "--timeout", "2.5", "--store", "S"], None, sweep.COMMANDS)
    assert (read.jobs, read.gpus, read.timeout, read.store) == (3, ["0", "1"], 2.5, Path("S"))
