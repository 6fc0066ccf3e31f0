"""Runs in this process: the net is small, the data are digits, and each run takes about a second."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import train
from conf.compose import compose
from record.identity import run_folder
from record.read import read_result
from record.run import Run
from training.distribution import World
from training.runtime import Stopped, pick_device

WORDS = ("model=resnet20", "batch_size=96", "progress=false", "checkpoint.every_minutes=100")
TIMES = {"seconds", "kind"}


class StopAfter:
    """Asks for a stop at its n-th look; the trainer looks once a step."""

    def __init__(self, looks: int = 10**9) -> None:
        self.left = looks

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def compose_here(*words: str) -> dict[str, Any]:
        paths = (f"paths.store={tmp_path / 'runs'}", f"paths.cache={tmp_path / 'cache'}")
        chosen = [path for path in paths if not any(path.split("=")[0] in word for word in words)]
        config = compose([*WORDS, *chosen, *words])
        return config | {"world_size": 1}

    return compose_here


@pytest.fixture
def make(settings: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Make a run, in a store of its own, and return its result; `stops` interrupts it after so many steps each."""
    stores = count()

    def made(*words: str, stops: tuple[int, ...] = ()) -> dict[str, Any]:
        config = settings(*words, f"paths.store={tmp_path / f'store{next(stores)}'}")
        for looks in (*stops, 10**9):
            trainer = train.Trainer(config, World(), pick_device("cpu"))
            with Run(config["paths"]["store"], config, facts={"device": "cpu"}) as run:
                try:
                    result, weights = trainer.fit(run, StopAfter(looks))
                    run.finish(result, weights)
                    break
                except Stopped:
                    run.stop()
        result = read_result(folder(config))
        assert result is not None
        assert (result["attempts"] > 1) is bool(stops)
        return result | {"rows": rows(config)}

    return made


def folder(config: dict[str, Any]) -> Path:
    return run_folder(config["paths"]["store"], config)


def rows(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all that a run logged, without the clock's readings."""
    lines = (folder(config) / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in lines]
