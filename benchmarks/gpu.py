"""Does the suite work on this GPU? `make gpu-check`: one table, to be pasted into an issue, in under ten minutes.

Tests that need a GPU; each optimizer there beside the CPU, and compiled (AdaHessian and Sophia at no curvature); runs
in bf16 and tf32, one that is stopped and goes on, one over NCCL on one and two GPUs; the time of a step. `--device cpu`
is a reduced form, to test the command itself: lists beside loops in the place of GPU beside CPU. Exits with 1 if a row
failed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import ROOT
from benchmarks.optimizers import METHODS, compare, ours, shapes_of, stepper, tensors
from conf.cli import Parser, guarded

RUN = ("data=digits", "model=resnet20", "optimizer=sing", "batch_size=32", "budget=steps", "progress=false")
SHAPES = [torch.Size(shape) for shape in ((64, 32, 3, 3), (32, 64, 1, 1), (10, 64), (64,))]
CLOSE = 1e-5  # of a tensor's largest entry
LOOSE = {  # methods whose last digits are the device's or the compiler's choice, at their defaults
    "muon": "Newton-Schulz in bfloat16",
    "soap": "a basis of eigenvectors, free where eigenvalues are equal",
}
QUIET = ("-W", "default", "-p", "no:cacheprovider")  # libraries of other versions than the lock's warn of other things
PATIENCE = 300  # seconds for one run
Way = dict[str, bool]  # how `ours` builds an optimizer
Check = Callable[[], str]  # returns what the table shows; an exception is a failure


def stepped(method: str, device: str, way: Way) -> list[Tensor]:
    """Return the weights after three steps at fixed gradients."""
    params = tensors(SHAPES, device)
    step = stepper(ours(method, params, **way))
    for _ in range(3):
        step()
    return [p.detach().cpu() for p in params]


def alike(methods: list[str], one: tuple[str, Way], other: tuple[str, Way]) -> str:
    """Step each method in two ways, each a device and keywords; all are tried before those that fail are named."""
    differences, failed = {}, []
    for method in methods:
        try:
            pairs = zip(stepped(method, *one), stepped(method, *other), strict=True)
            differences[method] = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
        except Exception as error:  # of a compiler, say
            failed.append(f"{method}: {type(error).__name__} {str(error)[:80]}")
    failed += [f"{method}: {x:.1e} apart" for method, x in differences.items() if not x <= CLOSE]
    if failed:
        raise AssertionError(f"{len(failed)} of {len(methods)} methods: {'; '.join(failed)}")
    worst = max(differences, key=lambda method: differences[method])
    return f"{len(methods)} methods, largest difference {differences[worst]:.1e} ({worst})"


def started(device: str, store: Path, *words: str, processes: int = 0) -> subprocess.Popen[str]:
    """Start train.py, by torchrun if `processes` says how many."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes else []
    places = (f"device={device}", f"paths.store={store}", f"paths.cache={store.parent / 'cache'}")
    command = [sys.executable, *launcher, str(ROOT / "train.py"), *RUN, *places, *words]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finished(run: subprocess.Popen[str], store: Path) -> dict[str, object]:
    """Wait for a run and return its result."""
    said, _ = run.communicate(timeout=PATIENCE)
    found = list(store.rglob("result.json"))
    if run.returncode or len(found) != 1:
        raise AssertionError(f"exit code {run.returncode}: {said.strip().splitlines()[-1:]}")
    result: dict[str, object] = json.loads(found[0].read_text())
    return result


def trained(device: str, *words: str, processes: int = 0) -> str:
    """Make a run of ten steps."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "runs"
        result = finished(started(device, store, "budget.steps=10", *words, processes=processes), store)
    return f"weights {str(result['weights_sha256'])[:12]}"


def resumed(device: str) -> str:
    """Stop a run after its first checkpoint and go on; beside one that was left alone."""
    words = ("budget.steps=60", "checkpoint.every_steps=5")
    with tempfile.TemporaryDirectory() as folder:
        whole, store = Path(folder) / "whole", Path(folder) / "stopped"
        expected = finished(started(device, whole, *words), whole)
        run, patience = started(device, store, *words), time.monotonic() + PATIENCE
        while run.poll() is None and not list(store.rglob("checkpoint*.pt")) and time.monotonic() < patience:
            time.sleep(0.01)
        run.terminate()
        run.communicate(timeout=PATIENCE)
        if not run.returncode:
            raise AssertionError("it ended before it was stopped")
        result = finished(started(device, store, *words), store)
    if result["weights_sha256"] != expected["weights_sha256"]:
        raise AssertionError("the weights differ")
    return f"exit code {run.returncode}, then the same bits"


def tested() -> str:
    """Run the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-n", "4", *QUIET, "tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines() or [done.stderr.strip()]
    if done.returncode:
        failed = [line.split()[1] for line in lines if line.startswith(("FAILED ", "ERROR "))]
        raise AssertionError(f"{lines[-1]}: {', '.join(failed)}")
    return lines[-1]


def timed(method: str, device: str, net: str) -> str:
    """Time a step beside torch's fused AdamW."""
    rows = {row.side: row for row in compare(method, shapes_of(net), 5, device)}
    said = (side for side in ("ours", "ours compiled", "ours in a graph", "torch AdamW in a graph") if side in rows)
    return ", ".join(f"{side} {rows[side].ms:.2f} ms ({rows[side].of_adamw:.2f} x)" for side in said)


def checks(device: str) -> Iterator[tuple[str, Check]]:
    """Yield what is checked on a device: a name, and a function."""
    loop, lists, compiled = {"foreach": False}, {"foreach": True}, {"compile": True}
    if device == "cpu":
        yield "optimizers, lists as loops", partial(alike, METHODS, ("cpu", lists), ("cpu", loop))
        yield "optimizers, compiled as eager", partial(alike, ["adamp"], ("cpu", compiled), ("cpu", loop))
        yield "a run in bf16", partial(trained, device, "precision=bf16")
        yield "a run that is stopped and goes on", partial(resumed, device)
        yield "torchrun, one process", partial(trained, device, processes=1)
        return
    exact = [method for method in METHODS if method not in LOOSE]
    yield "tests that need a GPU", tested
    yield "optimizers, eager as on the CPU", partial(alike, exact, (device, lists), ("cpu", loop))
    for precision in ("bf16", "tf32"):
        yield f"a run in {precision}", partial(trained, device, f"precision={precision}")
    yield "a run that is stopped and goes on", partial(resumed, device)
    for processes in range(1, min(torch.cuda.device_count(), 2) + 1):
        yield f"NCCL, {processes} of the GPUs", partial(trained, device, processes=processes)
    yield "optimizers, compiled as eager", partial(alike, exact, (device, compiled), (device, lists))
    for method in ("sing", "adamp"):
        yield f"a step of {method}, ResNet-50", partial(timed, method, device, "resnet50")


def main() -> int:
    """Print a row for each check as it ends."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    device: str = parser.parse_args().device
    if device == "cuda" and not torch.cuda.is_available():
        parser.error("--device=cuda needs a GPU that torch sees; --device cpu checks the command itself")
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {name}\n\n| check | result | s |\n|---|---|---|", flush=True)
    failed = 0
    for what, check in checks(device):
        start = time.monotonic()
        try:
            text = check()
        except Exception as error:  # whatever went wrong belongs in the table
            failed, text = failed + 1, f"**FAILED** {type(error).__name__}: {' '.join(str(error).split())[:1000]}"
        print(f"| {what} | {text} | {time.monotonic() - start:.0f} |", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(guarded(main))
