"""A store for other tools, and the disk that it takes."""

import csv
import os
import time

import pytest

from conf.errors import UsageError
from record import export, loggers
from record.__main__ import main, shown
from record.read import read_store
from record.run import Run
from sweep.verify import verify
from tests.record.conftest import make_config
from tests.record.test_run import finish


@pytest.fixture
def store(tmp_path):
    for seed in (0, 1):
        with Run(tmp_path / "runs", make_config(seed=seed)) as run:
            run.metrics.append({"kind": "epoch", "epoch": 1, "step": 5, "seconds": 1.5, "test_top1": 90.0 + seed})
            run.finish({"state": "done", "metrics": {"test_top1": 90.0 + seed}})
    return tmp_path / "runs"


def test_tables_have_a_row_a_run_and_a_row_a_number(store, tmp_path, capsys):
    assert main(["export", "--csv", "--out", str(tmp_path / "out"), str(store)]) == 0
    texts = [(tmp_path / "out" / f"{name}.csv").read_text() for name in ("runs", "metrics")]
    runs, metrics = (list(csv.DictReader(text.splitlines())) for text in texts)
    assert [float(row["metrics.test_top1"]) for row in runs] == [90.0, 91.0]
    assert [(row["seed"], row["name"], float(row["value"])) for row in metrics if row["name"] == "test_top1"] == [
        ("0", "test_top1", 90.0),
        ("1", "test_top1", 91.0),
    ]
    assert capsys.readouterr().out.splitlines()[-1].endswith("metrics.csv: 4 rows")


@pytest.mark.parametrize("kind", ["wandb", "tensorboard"])
def test_mirrors_get_each_run_under_its_id(store, tmp_path, monkeypatch, kind):
    got = []

    def mirror(run, **options):
        got.append((run.id, run.config["optimizer.lr"], options))
        return loggers.Mirror(got.append, lambda: got.append("close"))

    monkeypatch.setitem(export.MIRRORS, kind, mirror)
    main(["export", f"--{kind}", "--out", str(tmp_path / "out"), str(store)])
    ids = [row["id"] for row in read_store(store)[0]]
    assert [entry[0] for entry in got if isinstance(entry, tuple)] == ids
    assert got.count("close") == 2
    assert sum(isinstance(entry, dict) and entry["step"] == 5 for entry in got) == 2
    assert got[0][2] == ({"mode": "offline"} if kind == "wandb" else {})


def test_parquet_names_what_is_missing(store, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install pyarrow"):
        main(["export", "--parquet", "--out", str(tmp_path), str(store)])


def test_a_column_of_words_and_switches_is_text_in_parquet(tmp_path):
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    for seed, flip in enumerate(("horizontal", False, None)):
        finish(tmp_path / "runs", make_config(seed=seed, flip=flip))
    assert main(["export", "--parquet", "--out", str(tmp_path / "out"), str(tmp_path / "runs")]) == 0
    found = pandas.read_parquet(tmp_path / "out" / "runs.parquet")
    assert sorted(found["config.flip"].dropna()) == ["False", "horizontal"]
    assert found["seed"].tolist() == [0, 1, 2]


def test_clean_frees_what_no_reader_needs_and_says_how_much(tmp_path, capsys):
    store = tmp_path / "runs"
    _, old = finish(store, make_config())
    finish(store, make_config(seed=1))
    with Run(store, make_config(seed=2)) as unfinished:
        unfinished.save_checkpoint({"step": 1}, 1)
        unfinished.stop()
    long_ago = time.time() - 10 * 86_400
    os.utime(old / "result.json", (long_ago, long_ago))
    size = (old / "weights.pt").stat().st_size
    words = ["clean", str(store), "--older", "7"]
    main([*words, "--dry-run"])
    assert capsys.readouterr().out == f"1 file(s), {shown(size)} would be freed\n"
    main(words)
    assert capsys.readouterr().out == f"1 file(s), {shown(size)} freed\n"
    assert not (old / "weights.pt").exists()
    main(["clean", str(store)])
    assert [path.name.partition("-")[0] for path in store.rglob("*.pt")] == ["checkpoint"]  # the unfinished run's
    assert len(read_store(store)[0]) == 2
    assert not [line for line in verify(store)[1] if ".pt" in line]


def test_clean_takes_replaced_runs_and_keeps_to_a_table(tmp_path, monkeypatch, capsys):
    store = tmp_path / "runs"
    folders = [finish(store, make_config(seed=seed))[1] for seed in (0, 1)]
    finish(store, make_config(seed=0, rerun=True))
    monkeypatch.setattr("record.__main__._folders", lambda table, scale: {folders[0].relative_to(store)})
    main(["clean", str(store), "--table", "mine"])
    assert not list((store / ".replaced").rglob("*.json"))
    assert [(folder / "weights.pt").exists() for folder in folders] == [False, True]


def test_clean_follows_no_link(tmp_path):
    """A store from a stranger may have links into another, whose runs are not its own."""
    finish(tmp_path / "mine", make_config())
    (folder,) = (tmp_path / "mine").glob("*/*/*/*")
    (folder / "weights.pt").touch()
    for place in (tmp_path / "theirs", tmp_path / "theirs" / ".replaced"):
        place.mkdir()
        (place / "digits").symlink_to(tmp_path / "mine" / "digits")
    before = sorted(folder.iterdir())
    assert main(["clean", str(tmp_path / "theirs")]) == 0
    assert sorted(folder.iterdir()) == before


def test_a_checkpoint_that_leads_nowhere_hinders_no_clean(tmp_path, capsys):
    finish(tmp_path, make_config())
    (folder,) = tmp_path.glob("*/*/*/*")
    (folder / f"checkpoint-000000001-{'0' * 16}.pt").symlink_to("/no/such/file")
    assert main(["clean", str(tmp_path)]) == 0
    assert "2 file(s)" in capsys.readouterr().out


def test_sizes_are_written_in_their_unit():
    assert [shown(size) for size in (0, 999, 1000, 1.234e9)] == ["0 bytes", "999 bytes", "1 kB", "1.23 GB"]


def test_a_store_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="no store at"):
        main(["clean", str(tmp_path / "nowhere")])
