"""Q against accuracy, of runs that are there."""

from dataclasses import replace

import pandas as pd
import pytest

from conf.errors import UsageError
from reports.analyses import rmsgd
from reports.analyses.command import ANALYSES, OF_RUNS, main
from reports.analyses.training import Run


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Return a folder of six runs of 30 epochs: accuracy rises with Q, and one run has no structure."""

    def made(folder):
        number, epochs = int(folder.name[1:2]), range(1, 31)
        quality = [None if number == 5 else 1 + number + epoch / 100 for epoch in epochs]
        rows = [{"probe": "ranks", "epoch": e, "values": {"Q": q}} for e, q in zip(epochs, quality, strict=True)]
        accuracy = [10.0 * number + epoch / 10 for epoch in epochs]
        return Run({}, pd.DataFrame({"epoch": epochs, "test_top1": accuracy}), rows)

    monkeypatch.setattr(rmsgd, "made", made)
    for number in range(6):
        (tmp_path / "runs" / f"s{number}-x").mkdir(parents=True)
        (tmp_path / "runs" / f"s{number}-x" / "result.json").touch()
    return tmp_path / "runs"


def test_two_epochs_of_each_run_are_drawn(runs, tmp_path):
    assert main(["nats", "--run", str(runs), "--out", str(tmp_path)]) == 0
    found = pd.read_csv(tmp_path / "nats.csv")
    assert (tmp_path / "nats.png").stat().st_size > 5000
    assert found.groupby("when").epoch.unique().map(list).to_dict() == {"early": [4], "last": [30]}  # 12 of 90
    last = found[found.when == "last"].set_index("run")
    assert last.loc["s3-x"][["Q", "test_accuracy"]].tolist() == [4.3, 33.0]
    assert last.Q.isna().sum() == 1


def test_a_run_without_q_at_the_two_epochs_is_one_line(runs, tmp_path, monkeypatch):
    made = rmsgd.made
    monkeypatch.setattr(rmsgd, "made", lambda folder: replace(made(folder), rows=made(folder).rows[::2]))
    with pytest.raises(UsageError, match=r"s0-x: needs probe=ranks at epochs 4 and 30$"):
        main(["nats", "--run", str(runs), "--out", str(tmp_path)])


def test_runs_without_q_and_none_at_all_are_one_line(runs, tmp_path, monkeypatch):
    for given in ([], ["--run", str(tmp_path / "none")]):
        with pytest.raises(UsageError, match=r"^nats: name runs of table rmsgd_nats, e\.g\. --run"):
            main(["nats", *given, "--out", str(tmp_path)])
    monkeypatch.setattr(rmsgd, "made", lambda folder: Run({}, pd.DataFrame({"epoch": [1]}), []))
    with pytest.raises(UsageError, match=r"s0-x: needs probe=ranks and evaluate\.test=every"):
        main(["nats", "--run", str(runs), "--out", str(tmp_path)])


def test_all_leaves_out_what_draws_runs_alone(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(
        "reports.analyses.command.resolve_name",
        lambda place: lambda out, scale: called.append(place.partition(":")[2]) or [],
    )
    main(["all", "--out", str(tmp_path)])
    assert set(ANALYSES) - set(called) == OF_RUNS == {"nats", "landscape"}
