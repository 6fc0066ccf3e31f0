import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from conf import yamls
from conf.compose import compose
from conf.errors import UsageError
from conf.tuned import lookup, read
from sweep import tune
from sweep.__main__ import main
from sweep.plan import plan
from sweep.tune import tuning, write
from sweep.wanted import Wanted, wanted

GRIDS = """
grids:
  sgd: {optimizer.lr: [0.05, 0.1, 0.2]}
  adamw: {search: {kind: sobol, n: 3, space: {optimizer.lr: {log: [1.0e-4, 1.0e-2]}}}}
"""


def trials(asked, grids, validation, seeds, only=()):
    settings = tuning(asked, grids, validation, seeds, only, "validation_loss").trials()
    return SimpleNamespace(settings=settings, wanted=Wanted("tune", tuple(settings), distinct=False))


@pytest.fixture
def grids(tmp_path):
    (tmp_path / "grids.yaml").write_text(GRIDS)
    return tmp_path / "grids.yaml"


def ask(grids, text=None, **more):
    if text:
        grids.write_text(text)
    return trials(wanted("digits_demo"), str(grids), 0.1, [0], **{"only": ["sgd", "adamw"]} | more)


def test_every_optimizer_gets_as_many_trials_on_validation_images(grids):
    tried = ask(grids)
    assert len(tried.settings) == 6
    for words, settings in tried.settings.items():
        assert "data.validation=0.1" in words
        assert f"optimizer.lr={settings['optimizer.lr']}" in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grids: {sgd: {optimizer.lr: [1, 2]}, adamw: {optimizer.lr: [1]}}", "sgd 2, adamw 1 trials"),
        ("grids: {sgd: {optimizer.lr: [1, 2]}, adma: {optimizer.lr: [1]}}", "unknown 'adamw'.*nearest: adma"),
        ("trials: 3", "no mapping"),
        ("grids: [1", "grids.yaml: line 1 is not YAML"),
        ("grids: {sgd: {optimizer.lr: 0.1}, adamw: {optimizer.lr: 0.1}}", "optimizer.lr: 0.1 is not a list"),
        ("grids: {}", "tries nothing"),
        ("grids: {sgd: {}, adamw: {}}", "sgd: {} tries nothing"),
        ("grids: {sgd: {optimizer.lr: []}, adamw: {optimizer.lr: []}}", "tries nothing"),
        ("grids: {sgd: {seed: [1, 2]}, adamw: {seed: [1, 2]}}", "grids.sgd: seed"),
        ("grids: {sgd: 0.1, adamw: 0.1}", "grids.sgd: 0.1 is not a mapping"),
        ("grids: {sgd: {search: 3}, adamw: {search: 3}}", "grids.sgd.search: 3 is not a mapping"),
    ],
)
def test_mistakes_are_one_line(grids, text, words):
    with pytest.raises(UsageError, match=words) as raised:
        ask(grids, text)
    assert "\n" not in str(raised.value)


def test_unequal_numbers_need_a_reason(grids):
    text = "grids: {sgd: {optimizer.lr: [1, 2]}, adamw: {optimizer.lr: [1]}}\nunequal: as in the paper"
    assert len(ask(grids, text).settings) == 3


def test_a_set_with_validation_images_of_its_own_keeps_them(tmp_path):
    (tmp_path / "grids.yaml").write_text("grids: {optimizer.lr: [1.0e-3, 1.0e-2]}")
    tried = trials(wanted("rde_small"), str(tmp_path / "grids.yaml"), 0.1, [0], only=["sing"])
    assert len(tried.settings) == 4
    assert not any(word.startswith("data.validation") for words in tried.settings for word in words)


@pytest.mark.parametrize(("parts", "held"), [(("train", "test"), True), (("train", "validation", "test"), False)])
def test_images_of_a_folder_are_held_out_unless_it_has_validation_images(tmp_path, parts, held):
    for place in (tmp_path / "leaves" / part / kind for part in parts for kind in ("oak", "elm")):
        place.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(place / "0.png")
    (tmp_path / "leaves.yaml").write_text(
        "seeds: [0]\nrows: {data: folder}\ncolumns: {optimizer: sgd}\nmetric: test_top1\ntitle: t\n"
        f"overrides: {{data.path: {tmp_path / 'leaves'}, data.name: leaves, model: resnet20}}\n"
    )
    (tmp_path / "grids.yaml").write_text("grids: {optimizer.lr: [1.0e-3, 1.0e-2]}")
    tried = trials(wanted(str(tmp_path / "leaves.yaml")), str(tmp_path / "grids.yaml"), 0.1, [0], only=[])
    assert len(tried.settings) == 2
    assert all(("data.validation=0.1" in words) is held for words in tried.settings)


@pytest.mark.parametrize(
    ("rates", "accuracy", "said"),
    [
        ("[1e-3, 1e-2, 1e-1]", "0.1", True),
        ("[1e-3, 1e-2, 1e-1]", "0.01", False),
        ("[0.1, 1, 10]", "10", True),
        ("[0.1, 1, 10]", "1", False),
    ],
)
def test_the_edge_of_a_grid_is_named_however_its_numbers_are_written(tmp_path, monkeypatch, rates, accuracy, said):
    (tmp_path / "grids.yaml").write_text(f"grids: {{optimizer.lr: {rates}}}")
    tried = trials(wanted("digits_demo"), str(tmp_path / "grids.yaml"), 0.1, [0], only=["sgd"])
    runs = plan(tried.wanted)
    words = {run.folder: run.words for run in runs}
    monkeypatch.setattr(
        "sweep.tune.read_result",
        lambda path: {"metrics": {"validation_top1": float(f"optimizer.lr={accuracy}" in words[path])}},
    )
    lines = write(tmp_path / "tuned.yaml", runs, tried.settings, Path(), "validation_top1")
    assert ("at the edge of its grid: optimizer.lr" in lines[0]) is said
    value = lookup(str(tmp_path / "tuned.yaml"), "digits", "resnet20", "sgd").values["optimizer.lr"]
    assert value == float(accuracy)
    assert not isinstance(value, str)
    assert "optimizer.lr" not in lookup(str(tmp_path / "tuned.yaml"), "cifar10", "resnet18", "sgd").values
    write(tmp_path / "all.yaml", runs, tried.settings, Path(), "validation_top1", everywhere=True)
    assert lookup(str(tmp_path / "all.yaml"), "cifar10", "resnet18", "sgd").values["optimizer.lr"] == value


def test_a_file_keeps_the_winners_of_other_optimizers(tmp_path, monkeypatch):
    (tmp_path / "grids.yaml").write_text("grids: {optimizer.lr: [1.0e-3, 1.0e-2]}")
    monkeypatch.setattr("sweep.tune.read_result", lambda path: {"metrics": {"validation_top1": 50.0}})
    for name in ("sgd", "adamw", "sgd"):
        tried = trials(wanted("digits_demo"), str(tmp_path / "grids.yaml"), 0.1, [0], only=[name])
        runs = plan(tried.wanted)
        write(tmp_path / "tuned.yaml", runs, tried.settings, Path(), "validation_top1")
    read.cache_clear()
    assert sorted(entry["optimizer"] for entry in read(str(tmp_path / "tuned.yaml"))) == ["adamw", "sgd"]


def test_a_file_keeps_what_else_it_has_when_two_commands_write_it_at_once(tmp_path, monkeypatch):
    path = tmp_path / "tuned.yaml"
    path.write_text("also: [sing]\nentries: [{optimizer: adam, set: {optimizer.lr: 0.1}, from: Table 1}]\n")
    load = yamls.load
    monkeypatch.setattr("sweep.tune.yamls.load", lambda path: (load(path), time.sleep(0.2))[0])
    entries = [{"optimizer": name, "set": {"optimizer.lr": 0.1}, "from": "a search"} for name in ("sgd", "lion")]
    writers = [threading.Thread(target=tune._add, args=(path, [entry])) for entry in entries]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert load(path)["also"] == ["sing"]
    assert sorted(entry["optimizer"] for entry in load(path)["entries"]) == ["adam", "lion", "sgd"]


def test_a_file_of_something_else_is_not_written_over(grids, tmp_path):
    before = grids.read_text()
    words = ["tune", "digits_demo", "--grids", str(grids), "--out", str(grids), "--store", str(tmp_path / "runs")]
    with pytest.raises(UsageError, match="has no list `entries`"):
        main(words)
    assert grids.read_text() == before
    assert not (tmp_path / "runs").exists()


def test_a_misspelt_optimizer_is_not_left_out_in_silence(grids):
    with pytest.raises(UsageError, match=r"--only: unknown 'adma'.*nearest: adam"):
        ask(grids, only=["sgd", "adma"])


def test_no_winner_of_several_nets_is_for_all(grids, tmp_path):
    grids.write_text("grids: {optimizer.lr: [0.1, 0.2]}")
    (tmp_path / "file.yaml").write_text("grid: {optimizer: sgd, model: [resnet20, resnet18]}")
    words = [str(tmp_path / "file.yaml"), "--grids", str(grids), "--out", str(tmp_path / "o.yaml"), "--everywhere"]
    with pytest.raises(UsageError, match=r"--everywhere: .*resnet18, .*resnet20 have winners of their own"):
        main(["tune", *words, "--store", str(tmp_path / "runs")])
    assert not (tmp_path / "runs").exists()


def test_cells_that_a_file_could_not_tell_apart_are_refused(grids, tmp_path):
    text = "seeds: [0]\ngrid: {optimizer: sgd, model: resnet20, protocol: [none, study]}\n"
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(UsageError, match="differ in protocol=none protocol=study alone"):
        trials(wanted(str(tmp_path / "file.yaml")), str(grids), 0.1, [0])


def test_cells_that_differ_in_a_key_of_the_root_have_winners_of_their_own(grids, tmp_path, monkeypatch):
    """The smallest rate is the best for small batches, the largest one for large batches, a middle one with a step."""
    text = """
    seeds: [0]
    grid:
      - {optimizer: sgd, model: resnet20, batch_size: 64, schedule: step}
      - {optimizer: sgd, model: resnet20, batch_size: [64, 128]}
    """
    (tmp_path / "file.yaml").write_text(text)
    tried = trials(wanted(str(tmp_path / "file.yaml")), str(grids), 0.1, [0])
    runs = plan(tried.wanted)
    words = {run.folder: run.words for run in runs}

    def result(folder):
        lr = next(float(word.partition("=")[2]) for word in words[folder] if word.startswith("optimizer.lr="))
        best = 0.1 if "schedule=step" in words[folder] else 0.05 if "batch_size=64" in words[folder] else 0.2
        return {"metrics": {"validation_loss": abs(lr - best)}}

    monkeypatch.setattr("sweep.tune.read_result", result)
    write(tmp_path / "tuned.yaml", runs, tried.settings, Path(), "validation_loss")
    shared = ["model=resnet20", "optimizer=sgd", f"tuned={tmp_path / 'tuned.yaml'}"]
    for own, best in ((["batch_size=64"], 0.05), (["batch_size=128"], 0.2), (["batch_size=64", "schedule=step"], 0.1)):
        assert compose([*shared, *own])["optimizer"]["lr"] == best


def test_variants_of_an_optimizer_have_winners_of_their_own(tmp_path, monkeypatch):
    """The smaller rate is better with softplus, the larger one with eps."""
    (tmp_path / "grids.yaml").write_text("grids: {optimizer.lr: [1.0e-3, 1.0e-2]}")
    tried = trials(wanted("rde_small"), str(tmp_path / "grids.yaml"), 0.1, [0], only=["sing"])
    runs = plan(tried.wanted)
    words = {run.folder: run.words for run in runs}
    high = {"optimizer.denominator=softplus": "optimizer.lr=0.001", "optimizer.denominator=eps": "optimizer.lr=0.01"}

    def result(folder):
        return {"metrics": {"validation_accuracy": float(any({a, b} <= set(words[folder]) for a, b in high.items()))}}

    monkeypatch.setattr("sweep.tune.read_result", lambda path: result(path))
    write(tmp_path / "tuned.yaml", runs, tried.settings, Path(), "validation_accuracy")
    for denominator, lr in (("softplus", 1e-3), ("eps", 1e-2)):
        given = {"optimizer.denominator": denominator}.get
        assert lookup(str(tmp_path / "tuned.yaml"), "rde_small", "vit_tiny_rde", "sing", given=given).values == {
            "optimizer.lr": lr
        }


def test_cells_of_one_net_that_differ_otherwise_have_winners_of_their_own(tmp_path, monkeypatch):
    """Without weight norm the smaller rate is better, with it the larger one."""
    tried = trials(wanted("adamp_5", scale="cpu"), "study_tasks", 0.1, [0], only=["adamp"])
    runs = plan(tried.wanted)
    best = {False: "optimizer.lr=0.001", True: "optimizer.lr=0.01"}
    words = {run.folder: run.words for run in runs}

    def result(folder):
        net = "model.weight_norm=true" in words[folder]
        return {"metrics": {"validation_perplexity": 2.0 - (best[net] in words[folder])}}

    monkeypatch.setattr("sweep.tune.read_result", result)
    write(tmp_path / "tuned.yaml", runs, tried.settings, Path(), "validation_perplexity")
    for net, word in best.items():
        given = {"model.weight_norm": net}.get
        found = lookup(str(tmp_path / "tuned.yaml"), "text_small", "transformer_xl_small", "adamp", given=given)
        assert found.values == {"optimizer.lr": float(word.partition("=")[2])}


def written(tmp_path, monkeypatch, scores, metric="validation_loss", seeds=(0,)):
    """Write the winner of three rates of sgd, whose runs have these results, a list of seeds for each rate."""
    (tmp_path / "grids.yaml").write_text("grids: {sgd: {optimizer.lr: [0.1, 0.2, 0.3]}}")
    tried = trials(wanted("digits_demo"), str(tmp_path / "grids.yaml"), 0.1, seeds, only=["sgd"])
    runs = plan(tried.wanted)
    found = {run.folder: scores[tried.settings[run.words]["optimizer.lr"]][run.seed] for run in runs}
    monkeypatch.setattr("sweep.tune.read_result", lambda path: {"state": "done", "metrics": {metric: found[path]}})
    write(tmp_path / "tuned.yaml", runs, tried.settings, Path(), metric)
    return lookup(str(tmp_path / "tuned.yaml"), "digits", "resnet20", "sgd").values["optimizer.lr"]


@pytest.mark.parametrize("worst", [None, float("nan"), float("inf")])  # JSON has null for what is not finite
def test_a_trial_without_a_number_is_worse_than_any_other(tmp_path, monkeypatch, worst):
    assert written(tmp_path, monkeypatch, {0.1: [worst], 0.2: [1e9], 0.3: [2e9]}) == 0.2


def test_one_seed_without_a_number_is_enough(tmp_path, monkeypatch):
    assert written(tmp_path, monkeypatch, {0.1: [0.1, None], 0.2: [0.3, 0.3], 0.3: [9, 9]}, seeds=(0, 1)) == 0.2


def test_no_trial_with_a_number_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(
        UsageError, match="every trial of digits resnet20 sgd diverged or has no validation_loss"
    ) as raised:
        written(tmp_path, monkeypatch, {0.1: [None], 0.2: [None], 0.3: [None]})
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "tuned.yaml").exists()


def test_the_first_of_trials_that_tie_wins(tmp_path, monkeypatch):
    """The sums of right images are equal; those of the floats differ in the last bit."""
    tied = [[100 * hits / 360 for hits in trial] for trial in ((352, 344, 338), (355, 341, 338), (1, 2, 3))]
    for first, second in (tied[:2], tied[1::-1]):
        scores = dict(zip((0.1, 0.2, 0.3), (first, second, tied[2]), strict=True))
        assert written(tmp_path, monkeypatch, scores, "validation_top1", (0, 1, 2)) == 0.1
        lookup.__globals__["read"].cache_clear()


def test_the_metrics_are_those_of_the_protocols_task():
    tuned = tuning(wanted("adamp_e2", scale="cpu"), "study_tasks", 0.1, [0], [], "validation_attacked_top1")
    assert tuned.metric == "validation_attacked_top1"
    with pytest.raises(UsageError, match="unknown 'validation_frechet'"):
        tuning(wanted("adamp_e2", scale="cpu"), "study_tasks", 0.1, [0], [], "validation_frechet")


def test_a_misspelt_metric_is_refused_before_anything_runs(grids, tmp_path):
    words = [
        "tune",
        "digits_demo",
        "--grids",
        str(grids),
        "--out",
        str(tmp_path / "o.yaml"),
        "--store",
        str(tmp_path),
        "--only",
        "sgd",
    ]
    with pytest.raises(UsageError, match="metric: unknown 'validation_top'"):
        main([*words, "--metric", "validation_top"])
    assert not (tmp_path / ".sweep").exists()


def test_the_winner_is_what_tuned_reads(grids, tmp_path, capsys):
    out, store = tmp_path / "tuned.yaml", tmp_path / "store" / "runs"
    words = ["tune", "digits_demo", "--grids", str(grids), "--out", str(out), "--store", str(store)]
    more = ["--only", "sgd,adamw", "--jobs", "2", "--metric", "test_top1"]
    assert main([*words, *more]) == 0
    (entries,) = yamls.load(out).values()
    assert ["of 3 trials on test images" in entry["from"] for entry in entries] == [True, True]
    from record.read import read_store

    rows = [row for row in read_store(store)[0] if row["optimizer"] == "sgd"]
    best = max(rows, key=lambda row: row["metrics.test_top1"])["config.optimizer.lr"]
    assert lookup(str(out), "digits", "resnet20", "sgd").values == {"optimizer.lr": best}
    assert main(["plan", "digits_demo", f"tuned={out}", "optimizer=sgd", "--store", str(store), "--list"]) == 0
