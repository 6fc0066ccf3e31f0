"""How cost grows with the work: python -m benchmarks.growth [--only step plan report sweep].

step: an optimizer's step, with the weights. plan: `sweep plan` of combinations whose runs are not there. report: a
first `reports report` of a synthetic store, with its runs. sweep: `sweep run` of runs that only write a result, so that
the time is the sweep's own and that of starting a process. Seconds are the processor's; memory is the command's peak,
and of a step weights, gradients and state. The figure is beside the JSON.
"""

import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import parser, spent, write
from benchmarks.report import drawn, fill
from conf.cli import guarded
from record.identity import semantic
from sweep.plan import Planned, plan
from sweep.wanted import wanted

Point = dict[str, Any]  # side, size, seconds, MiB
MATRIX = 2**20  # weights
RUNS = (10, 100, 1000)
TABLE = "{{overrides: {{budget.epochs: 1}}, seeds: [0], grid: [{{optimizer: sgd, optimizer.lr: [{rates}]}}]}}"
PROGRAM = """
import json, os, sys
rate = next(word for word in sys.argv if word.startswith("optimizer.lr="))
folder, files = json.load(open(os.environ["RESULTS"] + rate))
os.makedirs(folder, exist_ok=True)
for name, content in files.items():
    json.dump(content, open(f"{folder}/{name}", "w"))
"""


def step(rounds: int) -> Iterator[Point]:
    """Step optimizers over matrices of 1024 x 1024, beside torch's fused AdamW."""
    import torch

    from benchmarks.optimizers import compare

    torch.set_num_threads(1)
    for matrices in (1, 4, 16, 64):
        size = matrices * MATRIX
        for method in ("sing", "adamp", "sgdp"):
            sides = compare(method, [torch.Size((1024, 1024))] * matrices, rounds, "cpu", compiled=False, clock="cpu")
            named = {"ours": method, "torch AdamW fused": "torch AdamW fused"} if method == "sing" else {"ours": method}
            for side in sides:
                if side.side in named:
                    memory = 4 * size * (2 + side.state) / 2**20
                    yield {"side": named[side.side], "size": size, "seconds": side.ms / 1e3, "MiB": memory}


def plans(rounds: int) -> Iterator[Point]:
    """Plan sweep files, with an empty cache."""
    for size in RUNS:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                words = ("-m", "sweep", "plan", str(_sweep_file(Path(folder), size)), "--store", f"{folder}/runs")
                yield _point("sweep plan", size, words, STEPBENCH_CACHE=f"{folder}/cache")


def reports(rounds: int) -> Iterator[Point]:
    """Report stores of a table and of trials that no table shows."""
    for size in (100, 1000, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder, "runs"), size, "rmsgd_1a")
            for turn in range(rounds):
                words = ("-m", "reports", "report", "--store", f"{folder}/runs", "--out", f"{folder}/{turn}")
                yield _point("reports report", size, words)


def sweeps(rounds: int) -> Iterator[Point]:
    """Run sweeps whose runs do nothing, one at a time."""
    for size in RUNS:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                file, store = _sweep_file(Path(folder), size), Path(folder, "runs")
                for run in plan(
                    wanted(str(file))
                ):  # a file each: a program that read all would cost more with more runs
                    Path(folder, _rate(run)).write_text(json.dumps((str(store / run.folder), _files(run))))
                Path(folder, "program.py").write_text(PROGRAM)
                words = ("-m", "sweep", "run", str(file), "--store", str(store), "--jobs", "1")
                environment = {"STEPBENCH_TRAIN": f"{folder}/program.py", "RESULTS": f"{folder}/"}
                yield _point("sweep run", size, words, **environment)


def _rate(run: Planned) -> str:
    return next(word for word in run.words if word.startswith("optimizer.lr="))


def _files(run: Planned) -> dict[str, Any]:
    """Return what a finished run leaves, with drawn scores."""
    result, _ = drawn(semantic(run.config), random.Random(0))
    return {"result.json": result, "status.json": {"schema": 1, "state": "done", "attempt": 1}}


def _sweep_file(folder: Path, size: int) -> Path:
    file = folder / "sweep.yaml"
    file.write_text(TABLE.format(rates=", ".join(f"{1 / (1 + i):.6f}" for i in range(size))))
    return file


def _point(side: str, size: int, words: tuple[str, ...], **environment: str) -> Point:
    used = spent(words, **environment)
    return {"side": side, "size": size, "seconds": used["processor seconds"], "MiB": used["peak MiB"]}


SERIES: dict[str, tuple[Callable[[int], Iterator[Point]], str]] = {
    "step": (step, "weights"), "plan": (plans, "combinations"), "report": (reports, "runs"), "sweep": (sweeps, "runs"),
}  # fmt: skip


def draw(found: dict[str, list[Point]], path: Path) -> list[Path]:
    """Draw seconds and memory of each series against size; lines join the medians of a side."""
    import pandas as pd

    from reports import style

    with style.figure(columns=len(found), rows=2) as (made, axes):
        for column, (name, points) in enumerate(found.items()):
            table = pd.DataFrame(points).groupby(["side", "size"], sort=False).median().reset_index()
            for row, what in enumerate(("seconds", "MiB")):
                axis = axes[row, column]
                for side, mine in table.groupby("side", sort=False):
                    axis.plot(mine["size"], mine[what], marker="o", label=side)
                axis.set(xscale="log", yscale="log", xlabel=SERIES[name][1], ylabel=what)
                axis.legend()
        return style.save(made, path)


def main() -> None:
    """Measure; prints a line a point, writes the JSON and the figure."""
    options = parser("growth", __doc__, rounds=3)
    options.add_argument("--only", nargs="+", choices=SERIES, default=list(SERIES))
    given = options.parse_args()
    found: dict[str, list[Point]] = {}
    for name in given.only:
        found[name] = []
        for point in SERIES[name][0](given.rounds):
            found[name].append(point)
            print("{side:20} {size:10,}  {seconds:9.4f} s  {MiB:8.1f} MiB".format(**point), flush=True)
    write(given.out, {"rounds": given.rounds, "cores": os.cpu_count(), "found": found})
    print(*draw(found, given.out.with_suffix("")), sep="\n")


if __name__ == "__main__":
    sys.exit(guarded(main))
