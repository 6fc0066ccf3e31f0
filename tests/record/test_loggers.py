"""A mirror gets every row's numbers; one that fails costs a line and never a row."""

from importlib.util import find_spec

import pytest

from record import loggers
from record.identity import group_id
from record.lines import read_lines
from record.run import Run
from record.supervise import NullWriter

ROWS = [
    {"kind": "epoch", "epoch": 1, "step": 5, "loss": 0.5, "note": "text"},
    {"kind": "epoch", "epoch": 2, "step": 10, "loss": None, "layers": ["a"]},
]


class Fake:
    """A mirror that keeps what it gets, and fails where it is told to."""

    def __init__(self, run, fails=""):
        self.run, self.fails, self.rows, self.closed = run, fails, [], False
        self._fail("open")
        Fake.last = self

    def log(self, row):
        self._fail("log")
        self.rows.append(row)

    def close(self):
        self._fail("close")
        self.closed = True

    def _fail(self, when):
        if self.fails == when:
            raise ConnectionError(f"no {when}")


@pytest.fixture
def fakes(monkeypatch):
    monkeypatch.setattr(loggers, "MIRRORS", {"fake": Fake, "other": Fake})


def as_logged(run):
    return loggers.Logged(run.folder, run.id, group_id(run.semantic), run.semantic)


def logged(store, config, options):
    """Log all rows and close; return the rows of metrics.jsonl and the lines of log.txt."""
    with Run(store, config) as run:
        log = loggers.Log(options, run)
        log.rows(ROWS)
        log.close()
        run.stop()
    text = run.folder / "log.txt"
    return read_lines(run.metrics.path)[0], text.read_text().splitlines() if text.exists() else []


def test_a_mirror_gets_each_row_after_the_record_and_is_closed(tmp_path, config, fakes):
    assert logged(tmp_path, config, {"fake": {}}) == (ROWS, [])
    assert (Fake.last.rows, Fake.last.closed) == (ROWS, True)


@pytest.mark.parametrize("when", ["open", "log", "close"])
def test_a_mirror_that_fails_is_off_with_one_line_and_the_record_is_whole(tmp_path, config, fakes, when, capsys):
    rows, lines = logged(tmp_path, config, {"fake": {"fails": when}, "other": {}})
    assert rows == ROWS
    assert [line.partition("logger=")[2] for line in lines] == [
        f"fake failed and is off from here: ConnectionError: no {when}"
    ]
    assert (Fake.last.rows, Fake.last.closed) == (ROWS, True)  # the other one goes on
    assert capsys.readouterr().out == f"logger=fake failed and is off from here: ConnectionError: no {when}\n"


def test_a_record_that_cannot_be_written_is_mirrored_nowhere(tmp_path, config, fakes, monkeypatch):
    with Run(tmp_path, config) as run:
        log = loggers.Log({"fake": {}}, run)

        def full(row):
            raise OSError(28, "no space left")

        monkeypatch.setattr(run.metrics, "append", full)
        with pytest.raises(OSError, match="no space"):
            log.rows(ROWS)
        assert Fake.last.rows == []
        run.stop()


def test_a_process_that_writes_nothing_mirrors_nothing(fakes):
    Fake.last = None
    log = loggers.Log({"fake": {}}, NullWriter())
    log.rows(ROWS)
    log.close()
    assert Fake.last is None


def test_wandb_gets_the_numbers_of_a_row_under_its_step_and_the_runs_identity(tmp_path, config, monkeypatch):
    import wandb

    calls = []

    class Service:
        def log(self, numbers, step):
            calls.append((numbers, step))

        def finish(self):
            calls.append("finish")

    monkeypatch.setattr(wandb, "init", lambda **keywords: calls.append(keywords) or Service())
    with Run(tmp_path, config) as run:
        mirror = loggers.wandb(as_logged(run), project="mine")
        for row in ROWS:
            mirror.log(row)
        mirror.close()
        run.stop()
    asked, *rest = calls
    assert (asked["project"], asked["mode"], asked["id"], asked["dir"]) == ("mine", "offline", run.id, str(run.folder))
    assert (asked["group"], asked["config"]) == (group_id(run.semantic), run.semantic)
    assert rest == [({"epoch": 1, "loss": 0.5}, 5), ({"epoch": 2}, 10), "finish"]


def test_tensorboard_gets_the_numbers_of_a_row_under_its_step(tmp_path, config, monkeypatch):
    calls = []

    class Writer:
        def __init__(self, folder, flush_secs):
            calls.append((folder, flush_secs))

        def add_scalar(self, name, value, step):
            calls.append((name, value, step))

        def close(self):
            calls.append("close")

    monkeypatch.setattr(loggers, "import_module", lambda name: type("Module", (), {"SummaryWriter": Writer}))
    with Run(tmp_path, config) as run:
        mirror = loggers.tensorboard(as_logged(run), flush_seconds=7)
        for row in ROWS:
            mirror.log(row)
        mirror.close()
        run.stop()
    expected = [("epoch", 1, 5), ("loss", 0.5, 5), ("epoch", 2, 10), "close"]
    assert calls == [(str(run.folder / "tensorboard"), 7), *expected]


def test_a_missing_package_is_named_before_the_run(monkeypatch):
    loggers.check({"wandb": {}})
    monkeypatch.setattr(loggers, "find_spec", lambda name: None if name == "tensorboard" else find_spec(name))
    with pytest.raises(ImportError, match="logger=tensorboard: not installed; pip install tensorboard"):
        loggers.check({"wandb": {}, "tensorboard": {}})
