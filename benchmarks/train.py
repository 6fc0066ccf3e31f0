"""Images per second of train.py beside bare loops, in turns, on one machine: `python -m benchmarks.train [--rounds 5]`.

Three ways to take the same steps of ResNet18 on made-up CIFAR-10: train.py's own loop in bf16 and channels_last; the
shortest loop one would write by hand with the same settings; and the papers' loop, fp32 in the plain layout.
Beside them the share of the time that checkpoints take, at the default cadence.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

import train
from conf.cli import Parser, guarded, whole
from conf.compose import compose
from conf.groups import root
from record import Run
from record.follower import Follower
from training.distribution import World
from training.precision import autocast, pick_device

FAST = ("precision=bf16", "channels_last=true")


def trainer(folder: str, steps: int, words: tuple[str, ...]) -> train.Trainer:
    """Build a run of `steps` steps of 128 images each."""
    fixed = ("data=cifar10", f"data.synthetic={128 * steps}", "data.augment.crop_padding=4", "optimizer=sgd")
    quiet = ("progress=false", f"paths.cache={folder}", "checkpoint.every_minutes=1000", "budget.epochs=1")
    config = compose([*fixed, *quiet, *words]) | {"world_size": 1}
    return train.Trainer(config, World(), pick_device(config["device"]))


def ours(run: train.Trainer) -> None:
    """Take an epoch's steps by train.py's loop."""
    run.run, run.stop, run.step, run.saved_at = Follower(), False, 0, time.monotonic()
    run.show, run.log = train.progress(False, None, 0, 128), train.loggers.Log({}, run.run)
    run.train_epoch()


def bare(run: train.Trainer) -> None:
    """Take the same steps by a loop of eight lines."""
    run.model.train()
    for x, y in run.data.train.batches(torch.randperm(len(run.data.train)).split(128), key=0):
        run.optimizer.zero_grad()
        with autocast(run.precision, run.device):
            outputs = run.model(x)
        loss = functional.cross_entropy(outputs.float(), y)
        loss.backward()
        run.optimizer.step()
        loss.item()  # a hand-written loop shows its loss, and train.py looks whether it is finite


def seconds(call: Callable[[train.Trainer], None], run: train.Trainer) -> float:
    start = time.perf_counter()
    call(run)
    if run.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def checkpoint_share(run: train.Trainer, store: str, times: int = 5) -> float:
    """Return the seconds that a checkpoint takes, over the seconds between two at the default cadence."""
    with Run(store, run.config) as run.run:
        run.save()
        found = [seconds(train.Trainer.save, run) for _ in range(times)]
        run.run.stop()
    return statistics.median(found) / (60 * root()["checkpoint"]["every_minutes"])


def measure(rounds: int, steps: int) -> dict[str, Any]:
    """Return the median images per second of each loop, and the ratios, measured in turns."""
    with tempfile.TemporaryDirectory() as folder:
        fast, plain = trainer(folder, steps, FAST), trainer(folder, steps, ())
        ways = {"train.py": (ours, fast), "bare loop": (bare, fast), "papers' loop, fp32": (bare, plain)}
        for call, run in ways.values():
            call(run)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (call, run) in ways.items():
                times[name].append(seconds(call, run))
        share = checkpoint_share(fast, folder)
    rates = {name: 128 * steps / statistics.median(found) for name, found in times.items()}
    ratios = {name: rates["train.py"] / rate for name, rate in rates.items()}
    return {
        "images_per_second": rates,
        "train.py against": ratios,
        "checkpoint_share": share,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=whole("[1, inf)"), default=5)
    parser.add_argument("--steps", type=whole("[1, inf)"), default=4)
    arguments = parser.parse_args()
    found = measure(arguments.rounds, arguments.steps)
    for name, rate in found["images_per_second"].items():
        print(f"{name:20} {rate:8.0f} images/s   train.py is {found['train.py against'][name]:.2f} of it")
    share, minutes = found["checkpoint_share"], root()["checkpoint"]["every_minutes"]
    print(f"a checkpoint every {minutes:g} minutes takes {share:.3%} of the time")
    out = Path("build/benchmarks/train.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(guarded(main))
