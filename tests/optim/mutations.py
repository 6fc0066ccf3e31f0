"""Plants bugs in optim/, one at a time, and tells whether the suite catches each: `python -m tests.optim.mutations`.

A mutant (`mutants.yaml`) is a replacement of text in a temporary copy of optim/, its tests and conf/, with the tests
that ought to fail. Text that does not occur exactly once is an error, so that a mutant cannot outlive the code it was
made for. Words after the command choose mutants by name.

Exit code 1 if one survives, 2 if the tests fail without any bug planted. Each mutant runs in a fork of one process
that has imported torch, so it costs seconds.
"""

import importlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("optim", "tests/optim", "conf")


class Mutant(NamedTuple):
    """A planted bug: where (below optim/), what is replaced by what, and the tests that should notice."""

    name: str
    file: str
    old: str
    new: str
    tests: str
    only: str = ""  # pytest's -k


def main(words: list[str]) -> int:
    """Run the mutants whose name holds one of `words` (all without any), print a table, return the exit code."""
    chosen = [m for m in planned() if not words or any(word in m.name for word in words)]
    check(chosen)
    for module in (
        "torch",
        "pytest",
        "numpy.testing",
        "scipy.optimize",
        "torch._dynamo",
    ):  # what every fork needs and no mutant changes
        importlib.import_module(module)
    caught = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        for tests, only in {(m.tests, m.only): None for m in chosen}:
            if code := run(copy, tests, only):
                print(f"{tests} -k {only!r} without any bug: pytest's exit code {code}")
                return 2
        for mutant in chosen:
            start = time.perf_counter()
            verdict = planted(mutant, copy)
            caught += verdict == "caught"
            print(f"{verdict:9} {time.perf_counter() - start:5.1f} s  {mutant.file:20} {mutant.name}", flush=True)
    print(f"{caught} of {len(chosen)} caught")
    return int(caught < len(chosen))


def planned() -> list[Mutant]:
    """All that mutants.yaml has."""
    return [Mutant(**entry) for entry in yaml.safe_load(Path(__file__).with_name("mutants.yaml").read_text())]


def check(mutants: list[Mutant]) -> None:
    """Raise ValueError for a mutant whose text does not occur exactly once."""
    for mutant in mutants:
        count = (ROOT / "optim" / mutant.file).read_text().count(mutant.old)
        if count != 1:
            raise ValueError(f"mutant {mutant.name!r}: its text occurs {count} times in optim/{mutant.file}, not once")


def planted(mutant: Mutant, copy: Path) -> str:
    """`caught` if the tests fail on the mutant, `survived` if they pass, `broken` if they cannot run."""
    path = copy / "optim" / mutant.file
    text = path.read_text()
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        return {0: "survived", 1: "caught"}.get(run(copy, mutant.tests, mutant.only), "broken")
    finally:
        path.write_text(text)


def run(copy: Path, tests: str, only: str) -> int:
    """The exit code of pytest on the copy, in a fork."""
    child = os.fork()
    if child == 0:
        os._exit(in_fork(copy, tests, only))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_fork(copy: Path, tests: str, only: str) -> int:
    import pytest
    import torch

    torch.set_num_threads(1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.chdir(copy)
    sys.path[:] = [str(copy), *(path for path in sys.path if path not in ("", str(ROOT)))]
    sys.dont_write_bytecode = True
    for name in [name for name in sys.modules if name.partition(".")[0] in ("optim", "tests", "conf")]:
        del sys.modules[name]
    chosen = ["-k", only] if only else []
    return int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", f"tests/optim/{tests}", *chosen]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
