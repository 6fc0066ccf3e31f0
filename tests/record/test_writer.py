"""The writer of processes that write nothing, and the number of processes in a run's identity."""

import pytest

from record.identity import complete, run_id, semantic
from record.run import Run
from record.supervise import NullWriter, Writer
from tests.record.conftest import make_config


def test_the_null_writer_answers_what_a_run_answers_and_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with NullWriter() as run:
        run.append({"epoch": 1})
        run.log("a line")
        assert run.save_checkpoint({}, 3, required=True)
        assert run.load_checkpoint() is None
        assert run.finish({"state": "done"}, {}) == {"state": "done"}
        run.stop()
        run.fail("error", "a cable was pulled")
    assert run.folder is None
    assert list(tmp_path.iterdir()) == []
    methods = [name for name in vars(Writer) if not name.startswith("_") and name != "folder"]
    assert methods
    assert all(hasattr(Run, name) for name in methods)


@pytest.mark.parametrize(("variable", "processes"), [(None, 1), ("1", 1), ("4", 4)])
def test_the_identity_asks_for_the_number_of_processes(monkeypatch, variable, processes):
    if variable is None:
        monkeypatch.delenv("WORLD_SIZE", raising=False)
    else:
        monkeypatch.setenv("WORLD_SIZE", variable)
    config = make_config()
    before = dict(config)
    assert run_id(semantic(complete(config))) == run_id(semantic(config | {"world_size": processes}))
    assert config == before
    assert complete(config | {"world_size": 3})["world_size"] == 3
