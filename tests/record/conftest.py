"""A small composed configuration, as conf.compose returns it."""

from typing import Any

import pytest


def make_config(**root: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "data": {"name": "digits", "target": "data.digits.digits", "version": 1, "validation": 0.0, "verify": True},
        "model": {"name": "resnet18", "target": "models.resnet.resnet18", "version": 1},
        "optimizer": {"name": "sgd", "target": "torch.optim.SGD", "version": 1, "lr": 0.001, "betas": [0.9, 0.999]},
        "schedule": {"name": "cosine", "final": 0.0},
        "budget": {"name": "epochs", "epochs": 3},
        "probe": {},
        "logger": {},
        "paths": {"store": "runs"},
        "seed": 0,
        "batch_size": 128,
        "device": "auto",
        "threads": 0,
        "keep": "weights",
        "protocol_name": "none",
        "scale_name": "paper",
        "tuned": None,
        "notes": {},
    }
    return config | root


@pytest.fixture
def config() -> dict[str, Any]:
    return make_config()
