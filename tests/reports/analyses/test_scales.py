"""Every analysis at the papers' scale, cut to two steps on synthetic data in the real formats."""

import pandas as pd
import pytest

from conf.compose import compose
from reports.analyses import adamp, adamsrt, rmsgd, sing, training
from reports.analyses.command import Scale

LOOPS = [(adamp, "growth", "cifar10"), (sing, "narrow", "cifar10"), (adamsrt, "tracking", "cifar10")]
LOOPS += [(adamp, "detection", "imagenet")]
IMAGENET = {("imagenet", 0, 100)}
RUNS = [
    (adamp, "norms", IMAGENET),
    (adamp, "detection", IMAGENET),
    (rmsgd, "quality", {("cifar10", 0, 140), ("cifar10", 0, 250), ("cifar100", 0, 250)}),
]
FIGURES = {
    "norms": ["norms", "norms_high"],
    "detection": ["detection", "delta"],
    "quality": ["quality", "rates", "beta", "generalisation"],
}
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


@pytest.mark.parametrize(("paper", "name", "data"), LOOPS, ids=[name for _, name, _ in LOOPS])
def test_loops_train_on_the_papers_data(paper, name, data, tmp_path, monkeypatch):
    seen = []

    def fit(model, optimizer, images, steps, *rest):
        seen.append((images.image_size, steps))
        return training.fit(model, optimizer, images, steps, *rest)

    monkeypatch.setattr(paper, "fit", fit)
    if name == "detection":
        assert adamp.cosines(Scale("smoke")).invariant.any()
    else:
        getattr(paper, name)(tmp_path, Scale("smoke"))
        assert len(drawn(tmp_path, name))
    assert set(seen) == {(LENGTH[data], 2)}


@pytest.mark.parametrize(("paper", "name", "wanted"), RUNS, ids=[name for _, name, _ in RUNS])
def test_runs_are_the_papers(paper, name, wanted, tmp_path, monkeypatch):
    """All command lines compose, at the papers' length without scale=smoke; the first with probes is run, for all."""
    seen, tuned = set(), set()
    made = [training.Run({"test_top1": 1.0}, pd.DataFrame(), [])] if name == "detection" else []

    def once(words):
        paper = compose([word for word in words if word not in ("scale=smoke", "paths.store=build/smoke")])
        seen.add((paper["data"]["name"], paper["data"]["synthetic"], paper["budget"]["epochs"]))
        tuned.add(paper["tuned"])
        if not made:
            made.append(training.train([word.replace("build/smoke", str(tmp_path / "runs")) for word in words]))
        return made[0]

    monkeypatch.setattr(paper, "train", once)
    monkeypatch.setattr(adamp, "cosines", lambda scale: COSINES)
    monkeypatch.setattr(rmsgd, "correlations", lambda x, y: "")  # of points that are all the same
    getattr(paper, name)(tmp_path, Scale("smoke"))
    assert seen == wanted
    assert tuned == {"rmsgd" if name == "quality" else "adamp"}
    assert all(drawn(tmp_path, figure).notna().any(axis=None) for figure in FIGURES[name])


def test_the_sheet_of_depth_samples(tmp_path):
    sing.rde_sheet(tmp_path, Scale("smoke"))
    drawn(tmp_path, "rde_sheet")
