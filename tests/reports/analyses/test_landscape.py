"""The slice of a loss: through the run's own weights, directions by filter, one line for a run that is not there."""

import os

import numpy as np
import pandas as pd
import pytest
import torch

from conf.errors import UsageError
from conf.groups import raw
from reports.analyses import landscape, training
from reports.analyses.command import main


def test_a_direction_has_the_norms_of_the_filters():
    weight = torch.randn(4, 3, 2, 2)
    found = landscape.direction(weight, torch.Generator().manual_seed(0))
    assert torch.allclose(found.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1))
    assert not landscape.direction(torch.ones(4), torch.Generator()).any()


def test_a_run_without_weights_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="none: no finished run with its weights"):
        main(["landscape", "--run", str(tmp_path / "none"), "--out", str(tmp_path)])
    with pytest.raises(UsageError, match="landscape: name finished runs"):
        main(["landscape", "--out", str(tmp_path)])


def test_every_slice_goes_through_the_weights_of_the_run(tmp_path, monkeypatch):
    images, folder = training.load(raw("data", "digits")), tmp_path / "digits" / "resnet20" / "sgd" / "s0-abcdef"
    folder.mkdir(parents=True)
    torch.save(training.network("resnet20", images).state_dict(), folder / "weights.pt")
    config = {"data": raw("data", "digits"), "model": raw("model", "resnet20")}
    monkeypatch.setattr(training, "read_result", lambda path: {"config": config})
    monkeypatch.setattr(landscape, "REACH", np.array([-0.5, 0.0, 0.5]))
    losses = landscape.profile(folder)
    assert losses.shape == (landscape.DIRECTIONS, 3)
    assert np.ptp(losses[:, 1]) == 0
    assert np.ptp(losses[:, 0]) > 0
    assert main(["landscape", "--run", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert len(pd.read_csv(tmp_path / "out" / "landscape.csv")) == 3


@pytest.mark.parametrize("group", ["data", "model"])
def test_the_code_of_a_strangers_run_is_not_run(group: str, tmp_path, monkeypatch):
    folder = tmp_path / "digits" / "resnet20" / "sgd" / "s0-abcdef"
    folder.mkdir(parents=True)
    (folder / "weights.pt").touch()
    config = {"data": raw("data", "digits"), "model": raw("model", "resnet20")}
    config[group] = {"target": "data.stored.os.system", "args": {"command": f"touch {tmp_path}/ran"}}
    monkeypatch.setattr(training, "read_result", lambda path: {"config": config})
    with pytest.raises(UsageError, match=r"would run 'data\.stored\.os\.system'.*; with --trust it does$"):
        main(["landscape", "--run", str(folder), "--out", str(tmp_path)])
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_no_file_are_not_waited_for(tmp_path, monkeypatch):
    images, folder = training.load(raw("data", "digits")), tmp_path / "run"
    folder.mkdir()
    os.mkfifo(folder / "weights.pt")
    config = {"data": raw("data", "digits"), "model": raw("model", "resnet20")}
    monkeypatch.setattr(training, "read_result", lambda path: {"config": config})
    with pytest.raises(ValueError, match=r"weights\.pt: a pipe, not a regular file"):
        training.trained_net(folder, images, trust=False)
