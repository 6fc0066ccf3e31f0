"""The sheet: one row a run, the score of what is drawn, one line for a run that is not there."""

import pandas as pd
import pytest
import torch
from torch import nn

import data
from conf.errors import UsageError
from conf.groups import raw
from data.dataset import Place
from reports.analyses import training
from reports.analyses.command import main


def test_predictions_are_drawn_and_scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = raw("data", "rde_small")
    few = data.load(options | {"train": 1, "validation": 1, "test": 10}, Place(tmp_path, tmp_path))
    _, targets = next(few.test.batches([torch.arange(10)]))

    class Knowing(nn.Module):
        def forward(self, images):
            return targets[:, 1:].clone()

    folder = tmp_path / "rde_small" / "vit_tiny_rde" / "sing" / "s0-abcdef"
    folder.mkdir(parents=True)
    torch.save(Knowing().state_dict(), folder / "weights.pt")
    result = {"config": {"data": options, "model": raw("model", "vit_tiny_rde")}}
    monkeypatch.setattr(training, "read_result", lambda path: result if path == folder else None)
    monkeypatch.setattr(training.models, "build", lambda *_, **__: Knowing())
    assert main(["rde_sheet", "--run", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "rde_sheet.png").stat().st_size > 10_000
    scores = pd.read_csv(tmp_path / "out" / "rde_sheet.csv")
    assert set(scores.run) == {"sing s0-abcd"}
    assert scores.rectangle_accuracy.tolist() == [100] * 10
    assert scores.mse.tolist() == [0] * 10


def test_a_run_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"none: no finished run with its weights$"):
        main(["rde_sheet", "--run", str(tmp_path / "none"), "--out", str(tmp_path)])


def test_other_analyses_take_no_run(tmp_path):
    with pytest.raises(UsageError, match="--run: only landscape, nats, rde_sheet look at runs"):
        main(["toy2d", "--run", str(tmp_path)])
