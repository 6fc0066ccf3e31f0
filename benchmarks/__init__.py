"""Speed, side by side with peers, one command each. Here: arguments, timing in turns, the written report.

A command reads its arguments before it imports torch, so that a mistake in them is told at once.
"""

import json
import os
import subprocess
import sys
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from conf.cli import Parser, file, whole

ROOT = Path(__file__).parent.parent
MIB = 2**10  # of ru_maxrss, which Linux gives in KiB
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def parser(name: str, about: str | None, rounds: int) -> Parser:
    """Return the parser of the command `python -m benchmarks.<name>`, with --rounds and --out."""
    made = Parser(f"python -m benchmarks.{name}", description=about, formatter_class=RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=whole("[1, 1000]"), default=rounds)
    made.add_argument("--out", type=file(".json"), default=Path(f"build/benchmarks/{name}.json"))
    return made


def seconds(call: Callable[[], object], clock: str = "wall") -> float:
    """Return the seconds that a call takes, to the end of what it started on a GPU, by one of `CLOCKS`."""
    _finish()
    start = CLOCKS[clock]()
    call()
    _finish()
    return CLOCKS[clock]() - start


def _finish() -> None:
    """Wait for the GPU, where one is used: a benchmark of commands does without torch."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def in_turns(calls: Mapping[str, Callable[[], object]], rounds: int, clock: str = "wall") -> dict[str, list[float]]:
    """Return each call's seconds, one value a round; they run one after the other, so that a slow moment hits all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call, clock))
    return times


def spent(words: Sequence[str], **environment: str) -> dict[str, float]:
    """Run `python <words>`; returns its seconds by the clock and of the processor, and its peak memory.

    Raises SystemExit if it fails.
    """
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.DEVNULL, cwd=ROOT, env=os.environ | environment
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"python {' '.join(words)}: exit status {child.returncode}")
    took = {"seconds": time.perf_counter() - began, "processor seconds": used.ru_utime + used.ru_stime}
    return took | {"peak MiB": used.ru_maxrss / MIB}


def write(path: Path, report: Mapping[str, object]) -> None:
    """Write a report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1))
