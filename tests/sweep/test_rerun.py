"""Finished runs made again: from what is verified alone, and with no code of a store."""

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conf.compose import compose
from conf.errors import UsageError
from papers import table as tables
from record.identity import group_id, run_folder, run_id, semantic
from sweep import rerun
from sweep.__main__ import main
from sweep.backend import command
from tests.data.test_own import folder
from tests.reports import synthetic

MADE = ("optimizer=sgd", "model=resnet20", "seed=3")
CUSTOM = ("optimizer=custom", "model=resnet20", "optimizer.args={lr: 0.1, s: [1e-3, 'a b']}")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one run. Copy it before changing it."""
    store = tmp_path_factory.mktemp("one") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPBENCH_TRAIN", str(Path(__file__).parent / "fake_train.py"))
        subprocess.run(command(MADE, store), check=True)
    return store


def forged(store: Path, words: tuple[str, ...], **more: object) -> Path:
    """Write a run that nobody made, of any class."""
    kept = semantic(compose(list(words))) | more
    content = synthetic.result(("data=digits", "model=resnet20", "optimizer=sgd"), 0, random.Random(0))
    folder = run_folder(store, kept)
    folder.mkdir(parents=True)
    whole = content | {"id": run_id(kept), "group_id": group_id(kept), "config": kept}
    (folder / "result.json").write_text(json.dumps(whole))
    (folder / "metrics.jsonl").write_text("")
    (folder / "status.json").write_text('{"schema": 1, "state": "done", "attempt": 1}')
    return folder


LINES = [
    MADE,
    ("data=fashion_mnist", "optimizer=sing_sgd", "probe=norms,ranks", "probe.ranks.linear=true", "freeze=['a.*','b']"),
    (*CUSTOM, "optimizer.target=torch.optim.RMSprop", "optimizer.name=mine"),
    (
        "model=timm",
        "model.name=convnext_tiny",
        "model.args={drop_path_rate: 0.1}",
        "mode=reference",
        "freeze=norm_affine",
    ),
    (*MADE, r"freeze=['$(touch\${IFS}x)','a\\\${b}','\'q\' ']"),
    ("target.metric=top1", "target.value=80", "budget=wallclock_of", "budget.reference=sgd", "budget.epochs=2"),
]


@pytest.mark.parametrize("words", LINES, ids=" ".join)
def test_a_configuration_gives_the_words_that_compose_it(words: tuple[str, ...]) -> None:
    kept = semantic(compose(list(words)))
    assert run_id(semantic(compose(list(rerun.words_of(kept))))) == run_id(kept)


def test_own_images_are_asked_for_and_may_lie_elsewhere(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("STEPBENCH_CACHE", str(tmp_path / "cache"))
    images = folder(tmp_path / "images")
    run = forged(tmp_path / "runs", ("data=folder", f"data.path={images}", "model=resnet20"))
    with pytest.raises(UsageError, match=r"^data.path: s0-\w+ has the fingerprint .* add data.path=\.\.\.$"):
        main(["rerun", str(run)])
    with pytest.raises(UsageError, match=r"^rerun: unknown 'optimizer.lr'; allowed: data\.path, model\.weights"):
        main(["rerun", str(run), "optimizer.lr=1"])
    moved = images.rename(tmp_path / "moved")
    made = []
    monkeypatch.setattr(rerun, "_made", lambda words, *rest: made.append(words) or (None, "not made here"))
    assert main(["rerun", str(run), f"data.path={moved}"]) == 4
    assert f"data.path={moved}" in made[0]
    other = folder(tmp_path / "other", per_class=7)
    assert main(["rerun", str(run), f"data.path={other}"]) == 4
    assert "another run" in capsys.readouterr().out
    assert len(made) == 1


@pytest.mark.parametrize("name", ["adamp_wd", "rmsgd_3", "sing_s1"])
def test_so_does_a_cell_of_a_table(name: str) -> None:
    draw, table = random.Random(name), tables.load(name)
    for scale in ("paper", "cpu"):
        cell = draw.choice(table.cells(scale))
        assert rerun.words_of(semantic(compose([*cell.overrides, "seed=3"])))


def test_what_a_store_says_beside_its_configuration_is_not_asked(one: Path, tmp_path: Path, capsys) -> None:
    store = tmp_path / "runs"
    shutil.copytree(one, store)
    (folder,) = store.glob("*/*/*/*")
    attempts = json.loads((folder / "environment.json").read_text())
    attempts["attempts"][-1]["overrides"] = ["optimizer=custom", "optimizer.target=antigravity.X"]
    (folder / "environment.json").write_text(json.dumps(attempts))
    (folder / "config.yaml").write_text("optimizer: {target: antigravity.X}\n")
    assert main(["rerun", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("equal: ")


def test_another_versions_run_is_not_started(tmp_path: Path, monkeypatch, capsys) -> None:
    kept = semantic(compose(list(MADE)))
    folder = forged(tmp_path, MADE, optimizer=kept["optimizer"] | {"version": 0})
    monkeypatch.setattr("sweep.rerun.Child", lambda *_: pytest.fail("started"))
    assert main(["rerun", str(folder)]) == 4
    assert "another run: " in capsys.readouterr().out
    assert main(["rerun", str(forged(tmp_path, MADE, world_size=2))]) == 4
    assert "made by 2 processes" in capsys.readouterr().out


@pytest.mark.parametrize("alien", [{"budget": 3}, {"schedule": {}}, {"probe": [1]}, {"probe": {"x": 1}}, {"a b=c": 1}])
def test_an_alien_configuration_is_one_line(tmp_path: Path, alien: dict, capsys) -> None:
    assert main(["rerun", str(forged(tmp_path, MADE, **alien))]) == 4
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("another run: ")


EVIL = "import pathlib; pathlib.Path(__file__).with_name('ran').touch()\nfrom torch.optim import SGD as X\n"


@pytest.mark.parametrize("trust", [(), ("--trust",)])
def test_no_code_of_a_store_is_run(tmp_path: Path, monkeypatch, trust: tuple[str, ...]) -> None:
    """The store lies on the import path, as runs/ of a checkout does; its folders are packages to Python."""
    store = tmp_path / "runs"
    monkeypatch.syspath_prepend(str(tmp_path))
    target = "runs.digits.resnet20.mine.evil.X"
    folder = forged(store, (*CUSTOM, "optimizer.name=mine", f"optimizer.target={target}"))
    (folder.parent / "evil.py").write_text(EVIL)
    with pytest.raises(UsageError, match=f"'{target}' lies in the store") as raised:
        main(["rerun", str(folder), *trust])
    assert "\n" not in str(raised.value)
    assert not (folder.parent / "ran").exists()
    assert "runs" not in sys.modules


def test_a_class_of_anyones_needs_trust_and_is_shown(tmp_path: Path, monkeypatch, capsys) -> None:
    folder = forged(tmp_path, (*CUSTOM, "optimizer.target=somebody.Else"))
    with pytest.raises(UsageError, match=r"would run 'somebody\.Else', which is neither .* with --trust it does"):
        main(["rerun", folder.name.partition("-")[2][:6], "--store", str(tmp_path)])
    monkeypatch.setenv("STEPBENCH_TRAIN", "/no/such/program")
    assert main(["rerun", str(folder), "--trust"]) == 4
    assert "failed: " in capsys.readouterr().out


def test_no_link_is_followed(one: Path, tmp_path: Path) -> None:
    (folder,) = one.glob("*/*/*/*")
    (tmp_path / "a").symlink_to(one / "digits")
    inner = Path(*folder.relative_to(one / "digits").parts)
    with pytest.raises(UsageError, match="a symbolic link"):
        main(["rerun", str(tmp_path / "a" / inner)])
    copied = tmp_path / "runs" / folder.relative_to(one)
    copied.mkdir(parents=True)
    (copied / "result.json").symlink_to(folder / "result.json")
    with pytest.raises(UsageError, match="a symbolic link") as raised:
        main(["rerun", str(copied)])
    assert "\n" not in str(raised.value)


def test_a_process_that_a_run_leaves_behind_holds_nothing_up(one: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("STEPBENCH_PLANT", json.dumps({"sgd-s3": "child"}))
    (folder,) = one.glob("*/*/*/*")
    started = time.monotonic()
    assert main(["rerun", str(folder)]) == 0
    assert time.monotonic() - started < 300  # it sleeps for 600 s
    assert not [pid for pid in Path("/proc").glob("[0-9]*") if _sleeps(pid)]


def _sleeps(pid: Path) -> bool:
    try:
        return (pid / "cmdline").read_bytes().startswith(b"sleep\0" + b"600.4321\0")
    except OSError:
        return False
