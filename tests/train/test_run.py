"""One run: what it leaves behind, how it ends, and what cannot change it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import train
from conf.errors import UsageError
from record.claim import Claim
from record.read import read_result, status
from record.supervise import NullWriter
from tests.train.conftest import WORDS, folder
from training.distribution import World
from training.runtime import pick_device

ROOT = Path(__file__).resolve().parents[2]
SHORT = ("budget=steps", "budget.steps=6")


def test_a_run_leaves_its_record_and_is_made_once(settings, capsys) -> None:
    config = settings("optimizer=sing", "budget.epochs=2", "optimizer.lr=1e-2")
    assert train.run(config, ["optimizer=sing"]) == 0
    result = read_result(folder(config))
    assert result["state"] == "done"
    assert result["metrics"]["test_top1"] > 30
    assert result["steps"] == 30
    assert result["selected"]["epoch"] == 2
    assert result["parameters"] == 272_186
    assert result["memory"]["peak_bytes"] > result["memory"]["optimizer_bytes"] > 2 * 4 * result["parameters"]
    assert {name: result["time"][name]["n"] for name in ("step_seconds", "epoch_seconds")} == {
        "step_seconds": 29,  # the first of each is dropped
        "epoch_seconds": 1,
    }
    assert all(result["time"]["step_seconds"][key] > 0 for key in ("median", "iqr"))
    assert {path.name for path in folder(config).iterdir()} == {
        *("config.yaml", "environment.json", "status.json", "metrics.jsonl", "result.json", "weights.pt"),
    } | ({"log.txt"} if (folder(config) / "log.txt").exists() else set())
    weights = torch.load(folder(config) / "weights.pt", weights_only=True)
    assert sum(t.numel() for n, t in weights.items() if "running" not in n and "tracked" not in n) == 272_186
    capsys.readouterr()
    assert train.run(config, []) == 0
    assert "already there: done" in capsys.readouterr().out


def test_equal_seeds_start_equal_and_see_the_same_batches(settings) -> None:
    trainers = [
        train.Trainer(settings(f"optimizer={name}", f"seed={seed}"), World(), pick_device("cpu"))
        for name, seed in (("sgd", 3), ("sing", 3), ("sgd", 4))
    ]
    first, second, other = [list(trainer.model.state_dict().values()) for trainer in trainers]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    seen = []
    for trainer in trainers[:2]:
        batches: list[torch.Tensor] = []
        trainer.start(NullWriter(), False)
        trainer.train_step = lambda batch, *_, batches=batches: batches.append(batch[0])
        trainer.after_step = lambda: None
        trainer.train_epoch()
        seen.append(torch.cat(batches))
    assert torch.equal(*seen)


@pytest.mark.parametrize(
    "change",
    [
        ("evaluate.every_epochs=2",),
        ("probe=norms,spherical,gradient", "probe.norms.every=1", "probe.spherical.every=2"),
        ("checkpoint.every_steps=1", "keep=all"),
        ("workers=3", "threads=1", "evaluate.batch_size=77"),
        (
            *("evaluate.every_epochs=3", "probe=norms", "probe.norms.every=1", "checkpoint.every_steps=2"),
            *("target.metric=top1", "target.value=10"),
        ),
    ],
)
def test_what_only_looks_does_not_change_the_weights(make, change: tuple[str, ...]) -> None:
    words = ("optimizer=sgd", "optimizer.lr=0.1", "budget.epochs=2", "data.augment.crop_padding=1", "threads=1")
    assert make(*words, *change)["weights_sha256"] == make(*words)["weights_sha256"]


def test_divergence_is_a_result(settings, capsys) -> None:
    config = settings("optimizer=sgd", "optimizer.lr=1e30", *SHORT)
    assert train.run(config, []) == 0
    assert read_result(folder(config))["state"] == "diverged"
    assert status(folder(config)).finished
    assert "diverged at step" in capsys.readouterr().out
    found = read_result(folder(config))["diverged"]
    assert found["layer"] in dict(train.Trainer(config, World(), pick_device("cpu")).model.named_modules())
    assert found["losses"][-1][1] is None  # not finite: JSON has no word for it


@pytest.mark.parametrize("stops", [(), (7,)])
def test_losses_of_steps_are_rows_and_change_nothing(make, stops: tuple[int, ...]) -> None:
    words = ("optimizer=sgd", "optimizer.lr=0.1", "budget.epochs=2", "threads=1")
    result = make(*words, "log.every_steps=4", stops=stops)
    assert [row["step"] for row in result["rows"] if "loss" in row] == list(range(4, 31, 4))
    assert result["weights_sha256"] == make(*words)["weights_sha256"]


def test_best_validation_keeps_that_epoch_and_its_weights(make) -> None:
    words = ("optimizer=sgd", "optimizer.lr=0.3", "data.validation=0.2", "budget.epochs=3", "schedule=constant")
    best = make(*words, "selection=best_validation")
    scores = [row["validation_top1"] for row in best["rows"]]
    assert best["selected"]["epoch"] == 1 + scores.index(max(scores))
    assert best["metrics"]["validation_top1"] == max(scores)
    assert best["best_on_test"]["test_top1"] == max(row["test_top1"] for row in best["rows"])
    last = make(*words)
    assert last["selected"]["epoch"] == 3
    assert (best["weights_sha256"] == last["weights_sha256"]) is (best["selected"]["epoch"] == 3)


@pytest.mark.parametrize("rule", ["last", "best_validation"])
def test_the_test_split_can_be_read_once_with_the_selected_weights(make, rule: str) -> None:
    words = ("optimizer=sgd", "optimizer.lr=0.3", "data.validation=0.2", "budget.epochs=2", f"selection={rule}")
    every, once = make(*words), make(*words, "evaluate.test=selected")
    assert once["metrics"] == every["metrics"]
    assert once["weights_sha256"] == every["weights_sha256"]
    assert not any(key.startswith("test_") for row in once["rows"] for key in row)
    assert once["best_on_test"] is None


def test_depth_is_selected_by_loss_and_both_scores_are_stored(make) -> None:
    words = ("data=rde_small", "data.synthetic=40", "model=vit_tiny_rde", "optimizer=adamw", "optimizer.lr=0.03")
    found = make(*words, "batch_size=20", "budget.epochs=4", "schedule=constant", "selection=best_validation")
    rows = {row["epoch"]: row for row in found["rows"]}
    best = min(rows, key=lambda epoch: rows[epoch]["validation_loss"])
    assert found["selected"]["epoch"] == best
    assert found["metrics"]["test_accuracy"] == rows[best]["test_accuracy"]
    on_test = min(rows, key=lambda epoch: rows[epoch]["test_loss"])
    scores = {key: value for key, value in rows[on_test].items() if key.startswith("test_")}
    assert found["best_on_test"] == {"epoch": on_test} | scores
    assert {"test_loss", "test_accuracy"} <= scores.keys()


def test_the_first_crossing_of_a_target_is_kept(make) -> None:
    words = ("optimizer=adamw", "budget.epochs=3", "target.metric=top1")
    reached = make(*words, "target.value=1")["target"]["reached"]
    assert (reached["epoch"], reached["metric"]) == (1, "test_top1")
    assert make(*words, "target.value=99.99")["target"]["reached"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("data=cifar10", "paths.data=/nowhere"), "cifar"),
        (("optimizer=custom", "optimizer.target=torch.optim.RMSpropp"), "RMSpropp"),
        (("optimizer=custom", "optimizer.target=torch.optim.SGD", "optimizer.args={lrr: 1}"), "lrr"),
        (("optimizer=custom", "optimizer.target=nowhere.SGD"), "nowhere"),
        (("freeze=[nothing.*]",), "nothing"),
        (("device=cuda:7",), "device"),
        (("device=cuda:99",), "device: 'cuda:99' is not on this machine; allowed here: auto, cpu"),
        (("precision=tf32",), "tf32 needs a CUDA device"),
        (("model=timm", "model.name=resnet18_no_such"), "resnet18_no_such"),
    ],
)
def test_what_only_torch_can_tell_is_one_line_and_leaves_nothing(settings, words, message) -> None:
    config = settings(*words)
    with pytest.raises(UsageError, match=message) as caught:
        train.run(config, [])
    assert "\n" not in str(caught.value)
    assert not folder(config).exists()


def test_any_importable_class_is_an_optimizer(make) -> None:
    words = ("optimizer=custom", "optimizer.target=torch.optim.RMSprop", "optimizer.args={lr: 1e-3, alpha: 0.9}")
    assert make(*words, *SHORT)["config"]["optimizer"]["args"] == {"lr": 0.001, "alpha": 0.9}


def test_a_failure_is_recorded_and_can_be_tried_again(settings, monkeypatch, capsys) -> None:
    config = settings(*SHORT)

    def broken(self) -> None:
        raise RuntimeError("a cable was pulled")

    with monkeypatch.context() as patch:
        patch.setattr(train.Trainer, "end_epoch", broken)
        assert train.run(config, []) == 70
    assert status(folder(config)).state == "failed"
    assert "a cable was pulled" in (folder(config) / "log.txt").read_text()
    assert "Traceback" in (folder(config) / "log.txt").read_text()
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert train.run(config, []) == 0


def test_a_claimed_run_is_left_alone(settings, capsys) -> None:
    config = settings(*SHORT)
    folder(config).mkdir(parents=True)
    claim = Claim(folder(config))
    assert train.run(config, []) == 75
    assert "running as process" in capsys.readouterr().out
    claim.release()
    assert train.run(config, []) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_with_75_and_the_same_command_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    words = [*WORDS, "optimizer=sgd", "budget.epochs=400", f"paths.store={tmp_path}", "progress=true"]
    command = [sys.executable, "train.py", *words]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert "epoch 1" in running.stdout.readline()
    running.send_signal(number)
    said = running.communicate(timeout=60)[0]
    assert running.returncode == 75
    assert "the same command goes on" in said
    assert len(list(tmp_path.glob("*/*/*/*/checkpoint-*.pt"))) == 1


def test_a_multirun_lands_in_the_same_store(tmp_path: Path) -> None:
    words = [*WORDS, *SHORT, f"paths.store={tmp_path}"]
    command = [sys.executable, "train.py", "-m", "optimizer=sgd,adamw", "seed=0,1", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("digits/resnet20/*/*/result.json"))) == 4
    single = [sys.executable, "train.py", "optimizer=sgd", "seed=1", *words]
    again = subprocess.run(single, cwd=ROOT, capture_output=True, text=True)
    assert again.stdout.startswith("already there: done")
    assert not (ROOT / "outputs").exists()
    assert not (ROOT / "multirun").exists()
