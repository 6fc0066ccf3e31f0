"""Speed, side by side with peers, one command each. Here: what they share, timing in turns and the written report."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def seconds(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes, to the end of what it started on a GPU."""
    _finish()
    start = time.perf_counter()
    call()
    _finish()
    return time.perf_counter() - start


def _finish() -> None:
    """Wait for the GPU, where one is used: a benchmark of commands does without torch."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def in_turns(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return each call's seconds, one value a round; they run one after the other, so that a slow moment hits all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return times


def write(path: Path, report: Mapping[str, object]) -> None:
    """Write a report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1))
