"""What a command costs before it does its work, as a ratio to `import torch`: python -m benchmarks.start [--rounds 7].

Each is a process of its own; they run in turns, so that a slow moment of the machine hits all; medians. `a run of one
step` is a whole run of ResNet20 on digits: start, one optimizer step, evaluation, record. `torch's optimizer` is a
step of torch.optim.SGD alone, which imports torch._dynamo. `plan` is `sweep plan` of 1,000 runs in 200 combinations.
"""

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import ROOT, in_turns, parser, write
from conf.cli import guarded

RUN = ("budget=steps", "budget.steps=1", "model=resnet20", "batch_size=32", "progress=false", "keep=none")
PLAN = """
overrides: {budget.epochs: 1}
seeds: [0, 1, 2, 3, 4]
grid:
  - data: [digits, cifar10]
    model: [resnet18, resnet20, resnet34, senet18]
    optimizer: [sgd, adam, adamw, sing, adamp]
    optimizer.lr: [0.1, 0.01, 0.001, 0.0001, 0.00001]
"""
STEP = """
import torch
weight = torch.nn.Parameter(torch.zeros(1))
weight.grad = torch.zeros(1)
torch.optim.SGD([weight]).step()
"""


COMMANDS = {
    "import torch": ("-c", "import torch"),
    "torch's optimizer": ("-c", STEP),
    "a run of one step": (str(ROOT / "train.py"), *RUN),
    "plan": ("-m", "sweep", "plan", "plan.yaml"),
}


def main() -> int:
    """Measure in turns; prints a line each and writes the JSON."""
    given = parser("start", __doc__, rounds=7).parse_args()
    times = in_turns({what: partial(_call, words) for what, words in COMMANDS.items()}, given.rounds)
    base = median(times["import torch"])
    found = {what: {"seconds": median(took), "of import torch": median(took) / base} for what, took in times.items()}
    for what, row in found.items():
        print(f"{what:18} {row['seconds']:6.2f} s  {row['of import torch']:5.2f} x")
    write(given.out, {"rounds": given.rounds, "found": found})
    return 0


def _call(words: tuple[str, ...]) -> None:
    """Run a command with an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "plan.yaml").write_text(PLAN)
        environment = {**os.environ, "STEPBENCH_STORE": f"{folder}/runs", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, *words]
        subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    sys.exit(guarded(main))
