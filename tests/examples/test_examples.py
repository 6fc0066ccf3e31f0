"""Each script of examples/ runs as its first lines say, and prints what it promises."""

import subprocess
import sys
from pathlib import Path
from statistics import fmean, stdev

from record.read import read_result, read_store

ROOT = Path(__file__).resolve().parents[2]


def run(name: str, *words: str | Path) -> str:
    """Run an example from another folder than the repository's; return what it printed."""
    command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *map(str, words)]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_loop_of_ones_own_learns() -> None:
    last = run("own_loop").splitlines()[-1]
    assert last.startswith("epoch 3: ")
    assert float(last.split()[-2]) > 85


def test_the_optimizer_of_ones_own_leaves_a_run_like_any_other(tmp_path: Path) -> None:
    run("own_optimizer", tmp_path)
    (folder,) = tmp_path.glob("digits/resnet20/custom/*")
    result = read_result(folder)
    assert result is not None
    assert result["state"] == "done"
    assert result["steps"] == 30
    assert result["config"]["optimizer"]["target"] == "examples.own_optimizer.Lion"
    assert result["metrics"]["test_top1"] > 50


def test_the_store_is_printed_by_configuration() -> None:
    rows, _ = read_store(ROOT / "results")
    printed = run("read_store")
    assert all(row["group_id"] in printed for row in rows if row["state"] == "done")  # a diverged run has no metrics
    (accuracies,) = (part for part in printed.split("\n\n") if part.startswith("metrics.test_top1\n"))
    sing = [row for row in rows if (row["data"], row["optimizer"]) == ("fashion_mnist", "sing")]
    same = [float(row["metrics.test_top1"]) for row in sing if row["group_id"] == sing[0]["group_id"]]
    (line,) = (line for line in accuracies.splitlines() if sing[0]["group_id"] in line)
    spread = f"{stdev(same):.2f}" if len(same) > 1 else "NaN"
    assert line.split()[-3:] == [f"{fmean(same):.2f}", spread, str(len(same))]
