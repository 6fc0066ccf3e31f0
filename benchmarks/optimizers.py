"""Time of one optimizer step, side by side with peers: `python -m benchmarks.optimizers`.

Each method has its contenders: ours eager and compiled, the peers that are installed (extra `bench`), torch's fused
AdamW. They step in turn over tensors of one net's shapes, so that a slow moment of the machine hits all; medians.
Prints tables and writes build/benchmarks/optimizers.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

import optim
from benchmarks.probe import compare_probe
from conf.cli import Parser, file, guarded, whole

NETS = {
    "resnet50": ("torchvision.models", "resnet50", {}),
    "vit_s": ("timm", "create_model", {"model_name": "vit_small_patch16_224"}),
}
DECAY = {"weight_decay": 1e-2}
SGD = {"lr": 1e-2, "momentum": 0.9, "nesterov": True, **DECAY}
METHODS: dict[str, tuple[str, Mapping[str, Any], list[tuple[str, str, Mapping[str, Any]]]]] = {
    "adamp": ("AdamP", DECAY, [("adamp", "AdamP", DECAY), ("pytorch_optimizer", "AdamP", DECAY)]),
    "sgdp": ("SGDP", SGD, [("adamp", "SGDP", SGD), ("pytorch_optimizer", "SGDP", SGD)]),
    "sing": ("SING", DECAY, []),
    "sing_lookahead": ("SING", {"lookahead": (5, 0.5), **DECAY}, []),
    "adamsrt": ("AdamSRT", DECAY, []),
    "adabelief": ("AdaBelief", DECAY, [("pytorch_optimizer", "AdaBelief", DECAY)]),
    "adabound": ("AdaBound", DECAY, [("pytorch_optimizer", "AdaBound", {**DECAY, "weight_decouple": False})]),
    "yogi": ("Yogi", DECAY, [("pytorch_optimizer", "Yogi", {**DECAY, "weight_decouple": False})]),
    "lamb": ("LAMB", DECAY, [("pytorch_optimizer", "Lamb", {**DECAY, "r": 0.0})]),
}


def shapes_of(net: str) -> list[torch.Size]:
    """Shapes of a net's parameters; its weights are never made."""
    module, name, keywords = NETS[net]
    with torch.device("meta"):
        model = getattr(importlib.import_module(module), name)(**keywords)
    return [p.shape for p in model.parameters()]


def tensors(shapes: list[torch.Size], device: str) -> list[Parameter]:
    """Parameters with fixed random values and gradients."""
    generator = torch.Generator().manual_seed(0)
    params = [Parameter((torch.randn(shape, generator=generator) * 0.1).to(device)) for shape in shapes]
    for p in params:
        p.grad = (torch.randn(p.shape, generator=generator) * 0.01).to(device)
    return params


def contenders(method: str) -> dict[str, Callable[[list[Parameter]], Optimizer]]:
    """Name and maker of each side: ours, compiled ours, installed peers, fused AdamW."""
    name, keywords, peers = METHODS[method]
    ours = getattr(optim, name)
    groups = {"invariance": "channel"} if method == "adamsrt" else {}
    made: dict[str, Callable[[list[Parameter]], Optimizer]] = {
        "ours": lambda ps: ours([{"params": ps, **groups}], **keywords),
        "ours compiled": lambda ps: ours([{"params": ps, **groups}], compile=True, **keywords),
    }
    for module, cls, options in peers:
        try:
            peer = getattr(importlib.import_module(module), cls)
        except ImportError:
            continue
        made[module] = lambda ps, peer=peer, options=options: peer(ps, **options)
    made["torch AdamW fused"] = lambda ps: torch.optim.AdamW(ps, fused=True, **DECAY)
    return made


def seconds(step: Callable[[], Any], device: str) -> float:
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def compare(method: str, shapes: list[torch.Size], rounds: int, device: str) -> list[dict[str, Any]]:
    """Median milliseconds a step and state bytes a parameter byte of each contender, stepped in turn."""
    sides = {name: make(tensors(shapes, device)) for name, make in contenders(method).items()}
    for _ in range(3):
        for optimizer in sides.values():
            optimizer.step()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, optimizer in sides.items():
            times[name].append(seconds(optimizer.step, device))
    base = statistics.median(times["torch AdamW fused"])
    rows = []
    for name, optimizer in sides.items():
        median = statistics.median(times[name])
        state = sum(v.nbytes for s in optimizer.state.values() for v in s.values() if isinstance(v, Tensor))
        weights = sum(shape.numel() * 4 for shape in shapes)
        rows.append({"side": name, "ms": 1e3 * median, "of_adamw": median / base, "state": state / weights})
    return rows


def compile_seconds(method: str, net: str, threads: int) -> dict[str, float]:
    """Seconds of the first step in a new process: with an empty cache of compiled code, and with a full one."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "benchmarks.optimizers", "--first-step", method, "--nets", net]
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache, "OMP_NUM_THREADS": str(threads)}
        runs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    cold, warm = (float(run.stdout.split()[-1]) for run in runs)
    return {"first_compile_s": cold, "from_cache_s": warm}


def show(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}\n  {'side':<22}{'ms/step':>10}{'x fused AdamW':>16}{'state/weights':>16}")
    for row in rows:
        print(f"  {row['side']:<22}{row['ms']:>10.1f}{row['of_adamw']:>16.2f}{row['state']:>16.2f}", flush=True)


def arguments() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--rounds", type=whole("[1, inf)"), default=9)
    parser.add_argument("--threads", type=whole("[1, 1024]"), default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compile-time", action="store_true", help="also time the first step of adamp and sing")
    parser.add_argument("--no-probe", action="store_true", help="leave RMSGD's probe out")
    parser.add_argument("--first-step", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=file(".json"), default=Path("build/benchmarks/optimizers.json"))
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    if options.first_step:
        optimizer = contenders(options.first_step)["ours compiled"](tensors(shapes_of(options.nets[0]), options.device))
        print(seconds(optimizer.step, options.device))
        return
    report: dict[str, Any] = {"torch": torch.__version__, "threads": options.threads, "device": options.device}
    for net in options.nets:
        shapes = shapes_of(net)
        for method in options.methods:
            report[f"{net}/{method}"] = rows = compare(method, shapes, options.rounds, options.device)
            show(f"{method}, tensors of {net}", rows)
        for method in ("adamp", "sing") if options.compile_time else ():
            report[f"{net}/{method}/compile"] = compile_seconds(method, net, options.threads)
            print(f"\n{method}, first step compiled, {net}: {report[f'{net}/{method}/compile']}", flush=True)
    if not options.no_probe:
        report["probe"] = compare_probe()
        print(f"\nRMSGD's probe, CIFAR ResNet-50: {report['probe']}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    sys.exit(guarded(main))
