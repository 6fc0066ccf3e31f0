"""The tutorial from own images to a p-value, followed as it is written, with one epoch and two seeds."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/tutorials/own_study.md").read_text()
FILES = dict(re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = re.findall(r"(?m)^    (\S.*(?:(?<=\\)\n.+)*)", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))
SMALLER = {
    "budget.epochs: 5": "budget.epochs: 1",
    "seeds: [0, 1, 2]": "seeds: [0, 1]",
    ", 1.0e-2]": "]",
    ", 8.0e-2]": "]",
}


@pytest.mark.extras  # two minutes
def test_every_command_of_the_page_works_in_the_order_of_the_page(tmp_path: Path) -> None:
    """In a copy of the repository, as the page's reader has it."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, tracked):
        if not name.startswith(("tests/", "results/")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    for name, content in FILES.items():
        for long, short in SMALLER.items():
            content = content.replace(long, short)
        (tmp_path / name).write_text(content)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in COMMANDS:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert re.search(r"against AdamW: .*p ", done.stdout, re.DOTALL)
    assert "mine & AdamW & SING" in (tmp_path / "build/tables/leaves.tex").read_text()
    assert "p (Holm)" in (tmp_path / "build/tables/leaves-pairs.md").read_text()
    assert (tmp_path / "build/figures/leaves-score.pdf").read_bytes().startswith(b"%PDF")
    assert len(COMMANDS) == 9
