"""Time of one optimizer step, side by side with peers: `python -m benchmarks.optimizers`.

A method is any option of conf/optimizer whose class is in optim/. Its sides: ours eager and compiled, the peers that
are installed (extra `bench`), torch's fused AdamW; on CUDA ours and torch's in a CUDA graph too. They step in turn over
tensors of one net's shapes, so that a slow moment of the machine hits all; medians. Prints tables and writes
build/benchmarks/optimizers.json.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pkgutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

import optim
from benchmarks import CLOCKS, in_turns, seconds, write
from benchmarks.watched import compare_probe
from conf import groups
from conf.cli import Parser, file, guarded, whole

Options = Mapping[str, object]
NETS: dict[str, tuple[str, Options]] = {
    "resnet50": ("torchvision.models.resnet50", {}),
    "vit_s": ("timm.create_model", {"model_name": "vit_small_patch16_224"}),
}
METHODS = [name for name in groups.options("optimizer") if str(groups.raw("optimizer", name)["target"])[:6] == "optim."]
DECAY: Options = {"weight_decay": 1e-2}
SGD: Options = {"lr": 1e-2, "momentum": 0.9, "nesterov": True, **DECAY}
# The keywords at which ours and the peers do the same, where these are not the yaml's, and the peers with theirs.
SETTINGS = dict.fromkeys(("adamp", "sing", "sing_lookahead", "adamsrt", "adabelief", "adabound", "yogi", "lamb"), DECAY)
SETTINGS["sgdp"] = SGD
SETTINGS["sophia"] = {"estimator": "hutchinson"}
COUPLED = {**DECAY, "weight_decouple": False}
PEERS: dict[str, list[tuple[str, Options]]] = {
    "lion": [("pytorch_optimizer.Lion", {})],
    "adan": [("pytorch_optimizer.Adan", {})],
    "mars": [("pytorch_optimizer.MARS", {})],
    "prodigy": [("pytorch_optimizer.Prodigy", {})],
    "soap": [("pytorch_optimizer.SOAP", {})],
    "schedule_free_adamw": [("schedulefree.AdamWScheduleFree", {})],
    "schedule_free_sgd": [("schedulefree.SGDScheduleFree", {})],
    "adamp": [("adamp.AdamP", DECAY), ("pytorch_optimizer.AdamP", DECAY), ("timm.optim.AdamP", DECAY)],
    "sgdp": [("adamp.SGDP", SGD), ("pytorch_optimizer.SGDP", SGD), ("timm.optim.SGDP", SGD)],
    "adabelief": [("pytorch_optimizer.AdaBelief", DECAY), ("timm.optim.AdaBelief", {**DECAY, "rectify": False})],
    "adabound": [("pytorch_optimizer.AdaBound", COUPLED)],
    "yogi": [("pytorch_optimizer.Yogi", COUPLED)],
    "lamb": [("pytorch_optimizer.Lamb", {**DECAY, "r": 0.0}), ("timm.optim.Lamb", {**DECAY, "max_grad_norm": None})],
}


@dataclass(frozen=True)
class Side:
    """ms: median of a step. of_adamw: in steps of torch's fused AdamW. state: bytes for each byte of the weights."""

    side: str
    ms: float
    of_adamw: float
    state: float


def shapes_of(net: str) -> list[torch.Size]:
    """Return the shapes of a net's parameters; its weights are never made."""
    target, keywords = NETS[net]
    with torch.device("meta"):
        return [p.shape for p in pkgutil.resolve_name(target)(**keywords).parameters()]


def tensors(shapes: Sequence[torch.Size], device: str) -> list[Parameter]:
    """Make parameters with fixed random values and gradients."""
    generator = torch.Generator().manual_seed(0)
    params = [Parameter((torch.randn(shape, generator=generator) * 0.1).to(device)) for shape in shapes]
    for p in params:
        p.grad = (torch.randn(p.shape, generator=generator) * 0.01).to(device)
    return params


def ours(method: str, params: list[Parameter], **more: bool) -> Optimizer:
    """Build our optimizer of a method."""
    options = groups.raw("optimizer", method)
    keywords = groups.parts(options)["keywords"] | dict(SETTINGS.get(method, {}))
    invariance = "channel" if options["groups"]["invariance"] == "auto" else "none"
    return optim.build(options["target"], [{"params": params, "invariance": invariance}], **keywords, **more)


def sides(method: str, params: Callable[[], list[Parameter]], compiled: bool) -> dict[str, Optimizer]:
    """Build a method's sides, each over parameters of its own; ours compiled too, where asked for."""
    made = {"ours": ours(method, params())}
    if compiled:
        made["ours compiled"] = ours(method, params(), compile=True)
    for target, theirs in PEERS.get(method, ()):
        try:
            made[target.split(".")[0]] = pkgutil.resolve_name(target)(params(), **theirs)
        except ImportError:
            continue
    return made | {"torch AdamW fused": torch.optim.AdamW(params(), fused=True, weight_decay=1e-2)}


def graphs(method: str, params: Callable[[], list[Parameter]]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield steps that a CUDA graph holds, by name: torch's, and ours where the method can be held."""
    held = torch.optim.AdamW(params(), fused=True, weight_decay=1e-2, capturable=True)
    yield "torch AdamW in a graph", captured(stepper(held))
    with suppress(ValueError):  # it is not capturable, and says why
        yield "ours in a graph", captured(stepper(ours(method, params(), capturable=True)))


def captured(step: Callable[[], object]) -> Callable[[], object]:
    """Hold a step in a CUDA graph, after three that make the state; returns the replay."""
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    side.synchronize()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def stepper(optimizer: Optimizer) -> Callable[[], object]:
    """Return a step at fixed gradients, for any optimizer: its closure's loss falls with every call."""
    params: list[Parameter] = [p for group in optimizer.param_groups for p in group["params"]]
    losses, grads = itertools.count(0.0, -1.0), [p.grad for p in params]

    def closure() -> Tensor:
        loss: Tensor = 0 * params[0].sum() + next(losses)
        if torch.is_grad_enabled():
            optimizer.zero_grad()  # SAM asks for it
            loss.backward()  # methods of second order ask for it, and find no curvature
            for p, grad in zip(params, grads, strict=True):
                p.grad = grad
        return loss.detach()

    return partial(optimizer.step, closure)


def compare(
    method: str, shapes: Sequence[torch.Size], rounds: int, device: str, compiled: bool = True, clock: str = "wall"
) -> list[Side]:
    """Step the sides of a method in turn, after three steps that are not timed."""
    made = sides(method, lambda: tensors(shapes, device), compiled)
    calls = {name: stepper(optimizer) for name, optimizer in made.items()}
    if device == "cuda":
        calls |= dict(graphs(method, lambda: tensors(shapes, device)))
    in_turns(calls, 3)
    medians = {name: statistics.median(times) for name, times in in_turns(calls, rounds, clock).items()}
    weights = 4 * sum(shape.numel() for shape in shapes)
    base, state = medians["torch AdamW fused"], {name: _state_bytes(made[name]) / weights for name in made}
    return [Side(name, 1e3 * ms, ms / base, state.get(name, state["ours"])) for name, ms in medians.items()]


def _state_bytes(optimizer: Optimizer) -> int:
    return sum(v.nbytes for state in optimizer.state.values() for v in state.values() if isinstance(v, Tensor))


def compile_seconds(method: str, net: str, threads: int) -> dict[str, float]:
    """Time the first step in a new process: with an empty cache of compiled code, and with a full one."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "benchmarks.optimizers", "--first-step", method, "--nets", net]
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache, "OMP_NUM_THREADS": str(threads)}
        runs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    cold, warm = (float(run.stdout.split()[-1]) for run in runs)
    return {"first_compile_s": cold, "from_cache_s": warm}


def show(title: str, rows: Sequence[Side]) -> None:
    """Print a table."""
    print(f"\n{title}\n  {'side':<22}{'ms/step':>10}{'x fused AdamW':>16}{'state/weights':>16}")
    for row in rows:
        print(f"  {row.side:<22}{row.ms:>10.2f}{row.of_adamw:>16.2f}{row.state:>16.2f}", flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--rounds", type=whole("[1, inf)"), default=9)
    parser.add_argument("--threads", type=whole("[1, 1024]"), default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: on a busy machine, with one thread")
    parser.add_argument(
        "--eager", action="store_true", help="leave the compiled side out, which takes a minute a method"
    )
    parser.add_argument("--compile-time", action="store_true", help="also time the first step of adamp and sing")
    parser.add_argument("--no-probe", action="store_true", help="leave RMSGD's probe out")
    parser.add_argument("--first-step", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=file(".json"), default=Path("build/benchmarks/optimizers.json"))
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    options = arguments()
    torch.set_num_threads(options.threads)
    if options.first_step:
        shapes = shapes_of(options.nets[0])
        print(seconds(stepper(ours(options.first_step, tensors(shapes, options.device), compile=True))))
        return
    report: dict[str, object] = {"torch": torch.__version__}
    report |= {key: getattr(options, key) for key in ("threads", "device", "clock")}
    for net in options.nets:
        shapes = shapes_of(net)
        for method in options.methods:
            rows = compare(method, shapes, options.rounds, options.device, not options.eager, options.clock)
            report[f"{net}/{method}"] = [asdict(row) for row in rows]
            show(f"{method}, tensors of {net}", rows)
        for method in ("adamp", "sing") if options.compile_time else ():
            report[f"{net}/{method}/compile"] = compile_seconds(method, net, options.threads)
            print(f"\n{method}, first step compiled, {net}: {report[f'{net}/{method}/compile']}", flush=True)
    if not options.no_probe:
        report["probe"] = compare_probe()
        print(f"\nRMSGD's probe, CIFAR ResNet-50: {report['probe']}")
    write(options.out, report)


if __name__ == "__main__":
    sys.exit(guarded(main))
