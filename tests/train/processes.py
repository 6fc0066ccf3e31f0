"""Runs in processes of their own, to be killed, or to be two; forked from one that has imported torch already."""

import json
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch

import train
from conf.compose import compose
from record.checkpoint import found
from record.identity import run_folder
from record.lines import read_lines
from record.read import read_result
from training.distribution import World

PATIENCE = 300  # seconds, on a machine with other things to do
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["train", "torch._dynamo", "data.digits", "models.resnet"])  # seconds of imports, once


def started(
    store: Path, words: list[str], processes: int = 1, call: Callable[[Path, list[str]], int] | None = None
) -> list[ForkServerProcess]:
    """Start a run, each rank with the environment that torchrun would give it; what they say goes to <store>.txt.

    call: what each rank does with store and words, and returns its exit code; None: what train.py does.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = []
    for rank in range(processes):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1"}
        ranks.append(FORKS.Process(target=_run, args=(call or _train, store, words, place | {"MASTER_PORT": port})))
        ranks[-1].start()
    return ranks


def _run(call: Callable[[Path, list[str]], int], store: Path, words: list[str], place: dict[str, Any]) -> None:
    store.parent.mkdir(parents=True, exist_ok=True)
    said = os.open(store.with_suffix(".txt"), os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.environ |= {key: str(value) for key, value in place.items()}
    torch.set_num_threads(1)
    sys.exit(call(store, words))


def _train(store: Path, words: list[str]) -> int:
    return train.run(composed(store, words), words)


def composed(store: Path, words: list[str]) -> dict[str, Any]:
    """Compose a run as train.py does, for as many processes as there are."""
    places = (f"paths.store={store}", f"paths.cache={store.parent / 'cache'}")
    return compose([*words, *places]) | {"world_size": World.from_environment().size}


def ended(ranks: list[ForkServerProcess]) -> list[int]:
    """Wait for a run's processes and return their exit codes; a hang is an error."""
    for rank in ranks:
        rank.join(PATIENCE)
    codes = [rank.exitcode for rank in ranks]
    for rank in ranks:
        rank.kill()
    assert None not in codes, "a process hung"
    return codes


def folder_of(store: Path, words: list[str], processes: int = 1) -> Path:
    return run_folder(store, compose(words) | {"world_size": processes})


def ran(store: Path, words: list[str], processes: int = 1) -> dict[str, Any]:
    """Make a run, to its end, and return what it left."""
    require_success(store, started(store, words, processes))
    return left(folder_of(store, words, processes))


def require_success(store: Path, ranks: list[ForkServerProcess]) -> None:
    codes = ended(ranks)
    assert set(codes) == {0}, store.with_suffix(".txt").read_text()[-3000:]


def left(folder: Path) -> dict[str, Any]:
    """Return a finished run's result, rows without the clock's readings, weights, and last state with keep=all."""
    rows, torn = read_lines(folder / "metrics.jsonl")
    result = read_result(folder)
    assert result is not None
    assert torn == 0
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
    states = [torch.load(path, weights_only=True)["state"] for path in found(folder)[:1]]
    for group in (group for state in states for group in state["optimizer"]["param_groups"]):
        group.pop("differentiable", None)  # torch adds it to a group without it, when it loads
    weights = torch.load(folder / "weights.pt", weights_only=True)
    return {"result": result, "rows": rows, "weights": weights, "state": [_timeless(state) for state in states]}


def _timeless(state: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a checkpoint that do not depend on the clock."""
    counted = {key: state["train"][key] for key in ("meters", "step")}
    return {key: state[key] for key in ("model", "optimizer", "observer")} | counted


def ended_alike(one: dict[str, Any], two: dict[str, Any]) -> None:
    require_equal(*({key: run[key] for key in ("rows", "weights", "state")} for run in (one, two)))
    assert one["result"]["metrics"] == two["result"]["metrics"]
    assert json.dumps(one["result"]["config"]) == json.dumps(two["result"]["config"])


def require_equal(one: Any, two: Any, where: str = "") -> None:
    """Compare to the bit, tensors included."""
    if isinstance(one, torch.Tensor):
        assert one.dtype == two.dtype, where
        assert torch.equal(one, two), where
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key in one:
            require_equal(one[key], two[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), where
        for index, pair in enumerate(zip(one, two, strict=True)):
            require_equal(*pair, f"{where}[{index}]")
    else:
        assert one == two, where
