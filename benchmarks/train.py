"""Images per second of train.py beside bare loops, in turns, on one machine: `python -m benchmarks.train [--rounds 5]`.

Three ways to take the same steps of ResNet18 on synthetic CIFAR-10: train.py's own loop in bf16 and channels_last; the
shortest loop one would write by hand with the same settings; and the papers' loop, fp32 in the plain layout.
Beside them the share of the time that checkpoints take, at the default cadence.

--tune compares threads, number formats and layouts on the nets of the study (docs/study.md) instead; what is best there
is frozen in conf/protocol/study.yaml, never chosen by a machine.
"""

import argparse
import statistics
import sys
import tempfile
from functools import partial
from itertools import product
from pathlib import Path

import torch
from torch.nn import functional

import train
from benchmarks import in_turns, seconds, write
from conf.cli import Parser, guarded, whole
from conf.compose import compose
from conf.groups import root
from record.run import Run
from record.supervise import NullWriter
from training.distribution import World
from training.runtime import StopRequest, autocast, pick_device

FAST = ("precision=bf16", "channels_last=true")
STUDY = {
    "ResNet8": ("model=resnet20", "model.layers=8"),
    "VGG16-BN/8": ("model=vgg16_bn", "model.width_multiplier=0.125"),
}
WAYS = tuple(product((1, 2), ("precision=fp32", "precision=bf16"), ("channels_last=false", "channels_last=true")))


def trainer(folder: str, steps: int, words: tuple[str, ...]) -> train.Trainer:
    """Build a run of `steps` steps of 128 images each."""
    fixed = ("data=cifar10", f"data.synthetic={128 * steps}", "data.augment.crop_padding=4", "optimizer=sgd")
    quiet = ("progress=false", f"paths.cache={folder}", "checkpoint.every_minutes=1000", "budget.epochs=1")
    config = compose([*fixed, *quiet, *words]) | {"world_size": 1}
    return train.Trainer(config, World(), pick_device(config["device"]))


def ours(run: train.Trainer) -> None:
    """Take an epoch's steps by train.py's loop."""
    run.start(NullWriter(), StopRequest())
    run.train_epoch()


def bare(run: train.Trainer) -> None:
    """Take the same steps by a loop of eight lines."""
    run.model.train()
    for x, y in run.data.train.batches(torch.randperm(len(run.data.train)).split(128), key=0):
        run.first.optimizer.zero_grad()
        with autocast(run.config["precision"], run.device):
            outputs = run.model(x)
        loss = functional.cross_entropy(outputs.float(), y)
        loss.backward()
        run.first.optimizer.step()
        loss.item()  # a hand-written loop shows its loss, and train.py looks whether it is finite


def checkpoint_share(run: train.Trainer, store: str, times: int = 5) -> float:
    """Return the seconds that a checkpoint takes, over the seconds between two at the default cadence."""
    with Run(store, run.config) as record:
        run.start(record, StopRequest())
        run.checkpoints.save()
        found = [seconds(run.checkpoints.save) for _ in range(times)]
        record.stop()
    minutes: float = root()["checkpoint"]["every_minutes"]
    return statistics.median(found) / (60 * minutes)


def measure(rounds: int, steps: int) -> tuple[dict[str, float], float]:
    """Return the median images per second of each loop, and the share of the time that checkpoints take."""
    with tempfile.TemporaryDirectory() as folder:
        fast, plain = trainer(folder, steps, FAST), trainer(folder, steps, ())
        ways = {"train.py": (ours, fast), "bare loop": (bare, fast), "papers' loop, fp32": (bare, plain)}
        calls = {name: partial(call, run) for name, (call, run) in ways.items()}
        in_turns(calls, 1)
        times = in_turns(calls, rounds)
        share = checkpoint_share(fast, folder)
    return {name: 128 * steps / statistics.median(found) for name, found in times.items()}, share


def with_threads(threads: int, run: train.Trainer) -> None:
    """Take an epoch's steps with so many threads."""
    torch.set_num_threads(threads)
    ours(run)


def tune(rounds: int, steps: int) -> None:
    """Print the images per second of each way to train each net of the study: medians, measured in turns."""
    with tempfile.TemporaryDirectory() as folder:
        for net, words in STUDY.items():
            runs = {way: trainer(folder, steps, (*words, *way[1:])) for way in WAYS}
            calls = {
                f"{way[0]} thread(s) {' '.join(way[1:])}": partial(with_threads, way[0], run)
                for way, run in runs.items()
            }
            in_turns(calls, 1)
            for name, found in in_turns(calls, rounds).items():
                print(f"{net:12} {name:48} {128 * steps / statistics.median(found):8.0f} images/s")


def compare(rounds: int, steps: int) -> None:
    """Print and write what `measure` found."""
    rates, share = measure(rounds, steps)
    ratios = {name: rates["train.py"] / rate for name, rate in rates.items()}
    for name, rate in rates.items():
        print(f"{name:20} {rate:8.0f} images/s   train.py is {ratios[name]:.2f} of it")
    minutes = root()["checkpoint"]["every_minutes"]
    print(f"a checkpoint every {minutes:g} minutes takes {share:.3%} of the time")
    facts = {"checkpoint_share": share, "rounds": rounds, "threads": torch.get_num_threads()}
    report = {"images_per_second": rates, "train.py against": ratios, **facts}
    write(Path("build/benchmarks/train.json"), report)


def main() -> None:
    """Run the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=whole("[1, inf)"), default=5)
    parser.add_argument("--steps", type=whole("[1, inf)"), default=4)
    parser.add_argument("--tune", action="store_true", help="the study's nets: threads, number formats, layouts")
    arguments = parser.parse_args()
    (tune if arguments.tune else compare)(arguments.rounds, arguments.steps)


if __name__ == "__main__":
    sys.exit(guarded(main))
