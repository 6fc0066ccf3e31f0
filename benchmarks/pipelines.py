"""The pipelines that benchmarks.input compares: ours, torchvision's and timm's on the same images."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from timm.data.dataset_factory import create_dataset
from timm.data.loader import create_loader
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms as v1

from benchmarks.input import Pipeline
from data.augment import Augment, Transform
from data.dataset import Place
from data.memory import MemorySplit
from data.streaming import StreamSplit, View
from data.synthetic import parts

BATCH = 128
MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]  # of CIFAR-10
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def cifar(workers: int) -> dict[str, Pipeline]:
    """Return pipelines of CIFAR's images, torchvision's first."""
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
        f"torchvision, {workers} workers": _torchvision(
            images.permute(0, 2, 3, 1).contiguous().numpy(), targets, workers
        ),
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
        return self.transform(Image.fromarray(self.images[index])), self.targets[index]


def _torchvision(images: NDArray[np.uint8], targets: Tensor, workers: int) -> Pipeline:
    cutout = v1.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))  # 16 x 16
    steps = [v1.RandomCrop(32, padding=4), v1.RandomHorizontalFlip(), v1.ToTensor(), v1.Normalize(MEAN, STD), cutout]
    dataset = _PerImage(images, targets, v1.Compose(steps))
    loader = DataLoader(dataset, BATCH, shuffle=True, num_workers=workers)
    return lambda: (len(batch) for batch, _ in loader)


def imagenet(folder: Path, workers: int, size: int = 8192) -> dict[str, Pipeline]:
    """Return pipelines of `size` JPEG files in a folder, timm's first."""
    (folder / "class").mkdir()
    paths = [str(folder / "class" / f"{index}.JPEG") for index in range(size)]
    _, images = next(parts([64], num_classes=10, side=500))
    for index, pixels in enumerate(images):
        Image.fromarray(pixels[:375]).save(paths[index], quality=90)
        for path in paths[index + 64 :: 64]:
            os.link(paths[index], path)
    place, targets = Place(folder, folder, workers=workers), torch.zeros(size, dtype=torch.int64)
    split = StreamSplit(paths, targets, View(), Transform(IMAGENET), place)

    def ours() -> Iterator[int]:
        return (len(batch) for batch, _ in split.batches(torch.randperm(size).split(BATCH), key=1))

    return {
        "timm, prefetching": _timm(folder, workers, use_prefetcher=True),
        "timm, normalising in its workers": _timm(folder, workers, use_prefetcher=False),
        "ours": ours,
    }


def _timm(folder: Path, workers: int, use_prefetcher: bool) -> Pipeline:
    unused: Any = None  # which the annotation forgets; 0 costs time
    loader = create_loader(
        create_dataset("", str(folder)), (3, 224, 224), BATCH, is_training=True, use_prefetcher=use_prefetcher,
        no_aug=False, color_jitter=unused, interpolation="bilinear", num_workers=workers, persistent_workers=False,
        device=torch.device("cpu"),
    )  # fmt: skip
    return lambda: (len(batch) for batch, _ in loader)
