"""What needs an optional extra: `make test-extras`."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.train.conftest import WORDS

pytestmark = pytest.mark.extras
ROOT = Path(__file__).resolve().parents[2]
SHORT = (*WORDS, "budget=steps", "budget.steps=3")


def test_hydras_joblib_launcher_lands_in_the_store(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    command = [sys.executable, "train.py", "-m", *launcher, "optimizer=sgd,adamw", *SHORT, f"paths.store={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("digits/resnet20/*/*/result.json"))) == 2


def test_one_signal_stops_the_jobs_of_joblibs_launcher(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    words = (*launcher, "seed=0,1,2", *WORDS, "budget.epochs=500", f"paths.store={tmp_path}")
    with subprocess.Popen([sys.executable, "train.py", "-m", *words], cwd=ROOT) as parent:
        limit = time.monotonic() + 300
        while len(list(tmp_path.glob("digits/*/*/*/metrics.jsonl"))) < 2 and time.monotonic() < limit:
            time.sleep(0.2)
        parent.terminate()
    assert parent.returncode == 75
    assert len(list(tmp_path.glob("digits/*/*/*"))) == 2
    assert not list(tmp_path.rglob("result.json"))


def test_tensorboard_mirrors_the_metrics(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    command = [sys.executable, "train.py", "logger=tensorboard", *SHORT, f"paths.store={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("digits/resnet20/*/*/tensorboard/events*"))) == 1


def test_wandb_works_offline_without_an_account(tmp_path: Path) -> None:
    command = [sys.executable, "train.py", "logger=wandb", *SHORT, f"paths.store={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("digits/resnet20/*/*/wandb/offline-run-*"))) == 1
