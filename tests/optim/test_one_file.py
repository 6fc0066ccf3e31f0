"""Adding an optimizer takes one file, one yaml and one loop: everything else finds it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "optim/mine.py": '''
"""Two optimizers of a test. Each raises ValueError, one line, for a value out of range."""
import torch
from .chain import Chain
from .stages.base import Stage

class halving(Stage):
    """u / 2."""
    name = "halving"
    def update(self, bucket, updates):
        return [u / 2 for u in updates]

class MineChained(Chain):
    """Half."""
    def __init__(self, params, lr=0.1, weight_decay=0.0, **options):
        super().__init__(params, ["halving"], lr=lr, weight_decay=weight_decay, **options)

class MinePlain(torch.optim.SGD):
    """A plain torch optimizer."""
    def __init__(self, params, lr=0.1, weight_decay=0.0):
        super().__init__(params, lr=lr, weight_decay=weight_decay)
''',
    "conf/optimizer/mine_chained.yaml": """
# Half of SGD
name: mine_chained
label: Mine
target: optim.MineChained
version: 1
decay: decoupled
groups: {no_decay: none, invariance: none}
lr: 0.1
weight_decay: 0.0
ranges: {lr: "[0, inf)", weight_decay: "[0, inf)"}
""",
    "conf/optimizer/mine_plain.yaml": """
# SGD
name: mine_plain
label: Mine, plain
target: optim.mine.MinePlain
version: 1
decay: coupled
groups: {no_decay: none, invariance: none}
lr: 0.1
weight_decay: 0.0
ranges: {lr: "[0, inf)", weight_decay: "[0, inf)"}
""",
}
LOOPS = """

def mine_chained(w, g, s, t, h):
    return decayed(w, h) - h["lr"] * l2(w, g, h) / 2


def mine_plain(w, g, s, t, h):
    return w - h["lr"] * l2(w, g, h)
"""
TOLD = """
import optim, torch
from conf import stages
from benchmarks import optimizers
assert {"mine_chained", "mine_plain"} <= {*optim.list_optimizers()} & {*optimizers.METHODS}
assert optim.MinePlain.__name__ == "MinePlain" and "halving" in stages.known("Stage")
optim.build("MinePlain", torch.nn.Linear(2, 2).parameters())
optim.Chain(torch.nn.Linear(2, 2).parameters(), ["halving", "adam"], lr=0.1)
"""


@pytest.mark.extras
def test_tests_benchmarks_and_the_library_find_it(tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "*.py", "*.yaml", "*.toml"], cwd=ROOT, capture_output=True, text=True)
    for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text.lstrip())
    with (tmp_path / "tests/optim/reference.py").open("a") as loops:
        loops.write(LOOPS)
    told = subprocess.run([sys.executable, "-c", TOLD], cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr[-1000:]
    places = [f"tests/optim/test_{name}.py" for name in ("reference", "contract")] + ["tests/conf/test_signatures.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *places, "-k", "mine"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-2000:]
    passed = int(ran.stdout.rpartition(" passed")[0].split()[-1])
    assert passed > 30
