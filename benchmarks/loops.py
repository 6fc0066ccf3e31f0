"""The loops that benchmarks.train compares: train.py's, the shortest by hand, and the papers'."""

import tempfile
from functools import partial
from itertools import product
from statistics import median

import torch
from torch.nn import functional

import train
from benchmarks import in_turns, seconds
from conf.compose import compose
from conf.groups import root
from record.run import Run
from record.supervise import NullWriter
from training.distribution import World
from training.runtime import StopRequest, autocast, pick_device

BATCH = 128
FAST = ("precision=bf16", "channels_last=true")
STUDY = {
    "ResNet8": ("model=resnet20", "model.layers=8"),
    "VGG16-BN/8": ("model=vgg16_bn", "model.width_multiplier=0.125"),
}
WAYS = tuple(product((1, 2), ("precision=fp32", "precision=bf16"), ("channels_last=false", "channels_last=true")))


def trainer(folder: str, steps: int, words: tuple[str, ...]) -> train.Trainer:
    """Build a run of `steps` steps of BATCH images each."""
    fixed = ("data=cifar10", f"data.synthetic={BATCH * steps}", "data.augment.crop_padding=4", "optimizer=sgd")
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
    for x, y in run.data.train.batches(torch.randperm(len(run.data.train)).split(BATCH), key=0):
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
    return median(found) / (60 * minutes)


def measure(rounds: int, steps: int) -> tuple[dict[str, float], float]:
    """Return the median images per second of each loop, and the share of the time that checkpoints take."""
    with tempfile.TemporaryDirectory() as folder:
        fast, plain = trainer(folder, steps, FAST), trainer(folder, steps, ())
        ways = {"train.py": (ours, fast), "bare loop": (bare, fast), "papers' loop, fp32": (bare, plain)}
        calls = {name: partial(call, run) for name, (call, run) in ways.items()}
        in_turns(calls, 1)
        times = in_turns(calls, rounds)
        share = checkpoint_share(fast, folder)
    return {name: BATCH * steps / median(found) for name, found in times.items()}, share


def with_threads(threads: int, run: train.Trainer) -> None:
    """Take an epoch's steps with so many threads."""
    torch.set_num_threads(threads)
    ours(run)


def tune(rounds: int, steps: int) -> dict[str, float]:
    """Return the images per second of each way to train each net of the study: medians, measured in turns."""
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for net, words in STUDY.items():
            runs = {way: trainer(folder, steps, (*words, *way[1:])) for way in WAYS}
            names = {way: f"{net}, {way[0]} thread(s) {' '.join(way[1:])}" for way in WAYS}
            calls = {names[way]: partial(with_threads, way[0], run) for way, run in runs.items()}
            in_turns(calls, 1)
            rates |= {name: BATCH * steps / median(found) for name, found in in_turns(calls, rounds).items()}
    return rates
