"""torch.compile of the net or of the optimizer: a resume is exact, and evaluation sees the weights of the day."""

import random
from pathlib import Path

import pytest

import train
from tests.train.processes import composed, ended_alike, folder_of, left, ran
from tests.train.test_kills import WORDS, killed_and_resumed
from training.distribution import World
from training.runtime import pick_device


@pytest.mark.soak
@pytest.mark.parametrize("what", ["compile_model", "compile_optimizer"])
def test_a_compiled_run_resumes_exactly_and_evaluates_current_weights(tmp_path: Path, what: str) -> None:
    words = [*WORDS, "optimizer=sing", "optimizer.lr=0.1", "checkpoint.every_steps=4", f"{what}=true"]
    words += ["budget=steps", "budget.steps=40"]
    killed_and_resumed(tmp_path / "killed", words, 1, random.Random(0), 1)
    one, two = left(folder_of(tmp_path / "killed", words)), ran(tmp_path / "whole", words)
    ended_alike(one, two)
    plain = train.Trainer(composed(tmp_path / "plain", [*words, f"{what}=false"]), World(), pick_device("cpu"))
    plain.model.load_state_dict(one["weights"])
    assert one["rows"][-1]["test_loss"] == pytest.approx(plain.scores()["test_loss"], rel=1e-4)
    assert len({row["test_loss"] for row in one["rows"]}) == len(one["rows"])
