"""A sweep file of 12 runs, and the fake train script in place of train.py."""

from pathlib import Path

import pytest

from sweep.__main__ import main

FAKE = Path(__file__).parent / "fake_train.py"
TABLE = """
seeds: [0, 1, 2]
grid:
  - {optimizer: [sgd, adamw], model: [resnet18, resnet34], optimizer.lr: 0.1}
"""


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    monkeypatch.setenv("STEPBENCH_TRAIN", str(FAKE))
    monkeypatch.delenv("STEPBENCH_PLANT", raising=False)


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "small.yaml"
    path.write_text(TABLE)
    return path


@pytest.fixture(scope="session")
def complete(tmp_path_factory, table) -> Path:
    """The store of an uninterrupted sweep. Copy it before changing it."""
    store = tmp_path_factory.mktemp("complete") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPBENCH_TRAIN", str(FAKE))
        assert main(["run", str(table), "--store", str(store), "--jobs", "2"]) == 0
    return store


def facts(store):
    """What an interruption must not change: one row a run, without times and attempts."""
    from record.read import read_store

    rows, complaints = read_store(store)
    assert complaints == []
    kept = ("optimizer", "seed", "id", "state", "metrics.test_top1", "weights_sha256", "metrics_sha256", "epochs")
    return [tuple(row[key] for key in kept) for row in rows]
