"""Images per second of the input pipelines, beside torchvision's and timm's on the same images, in turns.

python -m benchmarks.input [--rounds 5] [--only cifar|imagenet]
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

from benchmarks import parser, write
from conf.cli import guarded, number

WORKERS = 2
Pipeline = Callable[[], Iterator[int]]  # runs for one round; yields the size of each batch


def main() -> None:
    """Run the comparisons; prints medians over the rounds and writes them as JSON."""
    options = parser("input", __doc__, rounds=5)
    options.add_argument("--seconds", type=number("(0, inf)"), default=2.0, help="of each pipeline in each round")
    options.add_argument("--only", choices=("cifar", "imagenet"))
    given = options.parse_args()
    from benchmarks import pipelines

    found = {}
    if given.only != "imagenet":
        print("CIFAR: crop, flip, normalise, cutout")
        found["cifar"] = compare(pipelines.cifar(WORKERS), given.rounds, given.seconds)
    if given.only != "cifar":
        print("ImageNet: JPEG of 500x375, random resized crop to 224, flip, normalise")
        with tempfile.TemporaryDirectory() as folder:
            found["imagenet"] = compare(pipelines.imagenet(Path(folder), WORKERS), given.rounds, given.seconds)
    write(given.out, {"workers": WORKERS, "images_per_second": found})


def compare(pipelines: Mapping[str, Pipeline], rounds: int, seconds: float) -> dict[str, float]:
    """Run the pipelines in turns; prints each one's median speed, and median ratio to the first, and returns it."""
    speeds: dict[str, list[float]] = {name: [] for name in pipelines}
    for _ in range(rounds):
        for name, pipeline in pipelines.items():
            speeds[name].append(_speed(pipeline(), seconds))
    first = next(iter(speeds.values()))
    for name, values in speeds.items():
        ratio = median(ours / theirs for ours, theirs in zip(values, first, strict=True))
        print(f"  {name:32} {median(values):10,.0f} images/s {ratio:8.2f} x")
    return {name: median(values) for name, values in speeds.items()}


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


if __name__ == "__main__":
    sys.exit(guarded(main))
