"""What needs an optional extra: `make test-extras`."""

import subprocess
import sys
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
