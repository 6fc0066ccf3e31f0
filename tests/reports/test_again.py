"""The printed command, pasted into a shell, makes the runs of its cell and does nothing else."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from conf.compose import compose
from papers import table as tables
from record.identity import run_id, semantic
from reports import explain, layout, render
from reports.cells import Result, fill
from reports.runs import Runs

ECHO = f'#!/bin/sh\nexec {sys.executable} -c "import json, sys; print(json.dumps(sys.argv[1:]))" "$@"\n'
DIGITS = ("data=digits", "model=resnet20")
CELLS = [
    (*DIGITS, "optimizer=sgd", r"freeze=['$(touch\${IFS}x)','`touch x`','a;touch x','!!','~','*']"),
    (*DIGITS, "optimizer=custom", "optimizer.target=torch.optim.RMSprop", "optimizer.args={lr: 0.001, alpha: 0.9}"),
    (*DIGITS, "optimizer=adamw", "optimizer.betas=[0.9,0.99]", "data.normalise.mean=[0.5]"),
    (*DIGITS, "model=timm", "model.name=x", "model.args={a: 'it''s > x & y | z \"q\"'}".replace("''", r"\'")),
]
SHELLS = [shell for shell in ("bash", "dash", "zsh") if shutil.which(shell)]


def pasted(command: str, shell: str, place: Path) -> list[str]:
    """Return the words that a shell gives to python."""
    python = place / "python"
    python.write_text(ECHO)
    python.chmod(0o755)
    here = place / "here"
    here.mkdir()
    found = {"PATH": f"{place}:/usr/bin:/bin", "HOME": str(here)}
    done = subprocess.run([shell, "-c", command], cwd=here, env=found, capture_output=True, text=True, check=True)
    assert (list(here.iterdir()), done.stderr) == ([], "")
    return json.loads(done.stdout)


def one_cell(overrides: tuple[str, ...]) -> Result:
    spec = {"title": "t", "rows": {"data": "digits"}, "columns": {"optimizer": "sgd"}, "metric": "test_top1"}
    result = fill(tables.Table("one", tables.DEFAULTS | spec | {"seeds": [0, 3]}), Runs([]), lambda cells: ({}, {}))
    (found,) = result.cells
    return replace(result, cells=[replace(found, cell=replace(found.cell, overrides=overrides))])


@pytest.mark.parametrize("overrides", CELLS)
def test_a_shell_gives_the_command_the_ids_of_the_cell(overrides: tuple[str, ...], tmp_path: Path) -> None:
    text = explain.explain(one_cell(overrides), ["digits"])
    (command,) = [line.removeprefix("  again: ") for line in text.splitlines() if line.startswith("  again: ")]
    program, multirun, *words = pasted(command, SHELLS[0], tmp_path)
    assert (program, multirun) == ("train.py", "-m")
    (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(words), max_batch_size=None)
    expected = [run_id(semantic(compose([*overrides, f"seed={seed}"]))) for seed in (0, 3)]
    assert [run_id(semantic(compose(list(job)))) for job in jobs] == expected


@pytest.mark.parametrize("shell", SHELLS[1:])
def test_every_shell_gives_the_same_words(shell: str, tmp_path: Path) -> None:
    (cell,) = one_cell(CELLS[0]).cells
    words = []
    for one in (SHELLS[0], shell):
        (tmp_path / one).mkdir()
        words.append(pasted(layout.again(cell), one, tmp_path / one))
    assert words[0] == words[1]


def test_the_page_and_the_csv_have_the_same_words(tmp_path: Path) -> None:
    result = one_cell(CELLS[0])
    (cell,) = result.cells
    assert f"again: {layout.again(cell)}" in layout.grid(result).entries["digits", "SGD"].hover
    line = render.raw_csv(result).splitlines()[1].rpartition(',"')[2].removesuffix('"').replace('""', '"')
    assert tuple(pasted(f"python {line}", SHELLS[0], tmp_path)) == CELLS[0]
