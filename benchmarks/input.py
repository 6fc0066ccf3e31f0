"""Images per second of the input pipelines, beside torchvision's and timm's on the same images, in turns.

python -m benchmarks.input [--rounds 5] [--only cifar|imagenet]
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from conf.cli import Parser, guarded, number, whole
from data.augment import Augment, Transform
from data.dataset import Place
from data.memory import MemorySplit
from data.streaming import StreamSplit, View
from data.synthetic import parts

BATCH, WORKERS = 128, 2
MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]  # of CIFAR-10
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
Pipeline = Callable[[], Iterator[int]]  # runs for one round; yields the size of each batch


def main() -> None:
    """Run the comparisons and print medians over the rounds."""
    parser = Parser(prog="python -m benchmarks.input", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=whole("[1, inf)"), default=5)
    parser.add_argument("--seconds", type=number("(0, inf)"), default=2.0, help="of each pipeline in each round")
    parser.add_argument("--only", choices=("cifar", "imagenet"))
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {BATCH}, {WORKERS} loader workers")
    if arguments.only != "imagenet":
        print("CIFAR: crop, flip, normalise, cutout")
        compare(_cifar(), arguments.rounds, arguments.seconds)
    if arguments.only != "cifar":
        print("ImageNet: JPEG of 500x375, random resized crop to 224, flip, normalise")
        with tempfile.TemporaryDirectory() as folder:
            compare(_imagenet(Path(folder)), arguments.rounds, arguments.seconds)


def compare(pipelines: dict[str, Pipeline], rounds: int, seconds: float) -> None:
    """Run the pipelines in turns and print each one's median speed and median ratio to the first."""
    speeds: dict[str, list[float]] = {name: [] for name in pipelines}
    for _ in range(rounds):
        for name, pipeline in pipelines.items():
            speeds[name].append(_speed(pipeline(), seconds))
    first = next(iter(speeds.values()))
    for name, values in speeds.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(values, first, strict=True))
        print(f"  {name:32} {statistics.median(values):10,.0f} images/s {ratio:8.2f} x")


def _speed(batches: Iterator[int], seconds: float) -> float:
    """Return images per second once the workers have started and what they made ahead is used up."""
    for _ in range(2 * WORKERS + 1):
        next(batches)
    start, images = time.perf_counter(), 0
    for size in batches:
        images += size
        if time.perf_counter() - start > seconds:
            break
    return images / (time.perf_counter() - start)


def _cifar() -> dict[str, Pipeline]:
    images = torch.randint(0, 256, (50_000, 3, 32, 32), dtype=torch.uint8)
    targets = torch.randint(0, 10, (50_000,))

    def ours(dtype: torch.dtype, channels_last: bool = False) -> Pipeline:
        options = Augment(crop_padding=4, flip="horizontal", cutout=16)
        transform = Transform({"mean": MEAN, "std": STD}, options, dtype=dtype, channels_last=channels_last)
        split = MemorySplit(images, targets, transform)

        def run() -> Iterator[int]:
            order = torch.randperm(len(split)).split(BATCH)
            return (len(batch) for batch, _ in split.batches(order, key=1))

        return run

    return {
        "torchvision, 2 workers": _torchvision(images.permute(0, 2, 3, 1).contiguous().numpy(), targets),
        "ours, fp32": ours(torch.float32),
        "ours, bf16": ours(torch.bfloat16),
        "ours, fp32 channels_last": ours(torch.float32, channels_last=True),
        "ours, bf16 channels_last": ours(torch.bfloat16, channels_last=True),
    }


class _PerImage(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """What torchvision.datasets.CIFAR10 does for one image."""

    def __init__(self, images: NDArray[np.uint8], targets: Tensor, transform: Callable[..., Tensor]) -> None:
        self.images, self.targets, self.transform = images, targets, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[index])), self.targets[index]


def _torchvision(images: NDArray[np.uint8], targets: Tensor) -> Pipeline:
    from torchvision import transforms as v1

    cutout = v1.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))  # 16 x 16
    steps = [v1.RandomCrop(32, padding=4), v1.RandomHorizontalFlip(), v1.ToTensor(), v1.Normalize(MEAN, STD), cutout]
    dataset = _PerImage(images, targets, v1.Compose(steps))
    loader = DataLoader(dataset, BATCH, shuffle=True, num_workers=WORKERS)
    return lambda: (len(batch) for batch, _ in loader)


def _imagenet(folder: Path, size: int = 8192) -> dict[str, Pipeline]:
    from PIL import Image

    (folder / "class").mkdir()
    paths = [str(folder / "class" / f"{index}.JPEG") for index in range(size)]
    _, images = next(parts([64], num_classes=10, side=500))
    for index, pixels in enumerate(images):
        Image.fromarray(pixels[:375]).save(paths[index], quality=90)
        for path in paths[index + 64 :: 64]:
            os.link(paths[index], path)
    split = StreamSplit(
        paths,
        torch.zeros(size, dtype=torch.int64),
        View(),
        Transform(IMAGENET),
        Place(folder, folder, workers=WORKERS),
    )

    def ours() -> Iterator[int]:
        return (len(batch) for batch, _ in split.batches(torch.randperm(size).split(BATCH), key=1))

    return {
        "timm, prefetching": _timm(folder, use_prefetcher=True),
        "timm, normalising in its workers": _timm(folder, use_prefetcher=False),
        "ours": ours,
    }


def _timm(folder: Path, use_prefetcher: bool) -> Pipeline:
    from timm.data.dataset_factory import create_dataset
    from timm.data.loader import create_loader

    unused: Any = None  # which the annotation forgets; 0 costs time
    loader = create_loader(
        create_dataset("", str(folder)),
        (3, 224, 224),
        BATCH,
        is_training=True,
        use_prefetcher=use_prefetcher,
        no_aug=False,
        color_jitter=unused,
        interpolation="bilinear",
        num_workers=WORKERS,
        persistent_workers=False,
        device=torch.device("cpu"),
    )
    return lambda: (len(batch) for batch, _ in loader)


if __name__ == "__main__":
    sys.exit(guarded(main))
