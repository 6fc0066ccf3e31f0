"""Every analysis at the papers' scale, cut to two steps on made-up data in the real formats."""

import pandas as pd
import pytest

from conf.compose import compose
from probes.analyses import detection, growth, loop, narrow, norms, quality, rde_sheet, runs, tracking
from probes.analyses.scale import Scale

LOOPS = {growth: "cifar10", narrow: "cifar10", tracking: "cifar10", detection: "imagenet"}
RUNS = [(norms, "imagenet", 100), (detection, "imagenet", 100), (quality, "cifar10", 250)]
FIGURES = {norms: ["norms"], detection: ["detection", "delta"], quality: ["quality", "rates", "generalisation"]}
COSINES = pd.DataFrame({"cosine": [1e-9, 0.1], "channel": [1e-9, 0.5], "whole": [1e-9, 0.5]}).assign(
    invariant=[True, False], matrix=True
)
LENGTH = {"cifar10": 32, "imagenet": 224}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("STEPBENCH_CACHE", str(tmp_path / "cache"))


def drawn(folder, name):
    """Return a figure's data; its picture is there."""
    assert (folder / f"{name}.png").stat().st_size > 5000
    return pd.read_csv(folder / f"{name}.csv")


@pytest.mark.parametrize("analysis", LOOPS, ids=lambda a: a.__name__)
def test_loops_train_on_the_papers_data(analysis, tmp_path, monkeypatch):
    seen = []

    def fit(model, optimizer, images, steps, *rest):
        seen.append((images.image_size, steps))
        return loop.fit(model, optimizer, images, steps, *rest)

    monkeypatch.setattr(analysis, "fit", fit)
    if analysis is detection:
        assert detection.measured(Scale("smoke")).invariant.any()
    else:
        analysis.run(tmp_path, Scale("smoke"))
        assert len(drawn(tmp_path, analysis.__name__.rpartition(".")[2]))
    assert set(seen) == {(LENGTH[LOOPS[analysis]], 2)}


@pytest.mark.parametrize(("analysis", "data", "epochs"), RUNS)
def test_runs_are_the_papers(analysis, data, epochs, tmp_path, monkeypatch):
    """All command lines compose, at the papers' length without scale=smoke; the first with probes is run, for all."""
    made = [runs.Run({"test_top1": 1.0}, pd.DataFrame(), {})] if analysis is detection else []

    def once(words):
        paper = compose([word for word in words if word not in ("scale=smoke", "paths.store=build/smoke")])
        assert (paper["data"]["name"], paper["data"]["synthetic"], paper["budget"]["epochs"]) == (data, 0, epochs)
        if not made:
            made.append(runs.run([word.replace("build/smoke", str(tmp_path / "runs")) for word in words]))
        return made[0]

    monkeypatch.setattr(analysis, "trained", once)
    monkeypatch.setattr(detection, "measured", lambda scale: COSINES)
    monkeypatch.setattr(quality, "correlations", lambda x, y: "")  # of points that are all the same
    analysis.run(tmp_path, Scale("smoke"))
    assert all(drawn(tmp_path, name).notna().any(axis=None) for name in FIGURES[analysis])


def test_the_sheet_of_depth_samples(tmp_path):
    rde_sheet.run(tmp_path, Scale("smoke"))
    drawn(tmp_path, "rde_sheet")
