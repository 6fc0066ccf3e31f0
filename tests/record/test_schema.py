"""A malformed value is one line: the place, the value, what is allowed. What a type does not know is let through."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from record.lines import read_lines
from record.schema import ClaimFile, Configured, Environment, MetricsRow, Result, StatusFile, check, require_small

STATUS = {"state": "running", "attempt": 1}
CLAIM = {"host": "h", "machine": "m", "pid": 1, "started": None}
ATTEMPT = {"started": 1.5, "overrides": ["seed=1"], "versions": {"torch": "2"}}
RESULT = {
    "schema": 1,
    "id": "i",
    "group_id": "g",
    "config": {"data": {"name": "d"}, "model": {"name": "m"}, "optimizer": {"name": "o"}, "seed": 0},
    "labels": {},
    "platform": {"device": "cpu", "torch": None, "threads": 1},
    "machine": {"host": None},
    "one_platform": True,
    "attempts": 1,
    "metrics_sha256": "0",
    "state": "done",
    "metrics": {"loss": None, "top1": 1},
}
TWO = "List should have at least 2 items after validation, not 1"
SOUND = [
    (StatusFile, STATUS | {"later": [1]}),
    (ClaimFile, CLAIM | {"token": "t", "released": False}),
    (Environment, {"attempts": [ATTEMPT, ATTEMPT | {"threads": None}]}),
    (Result, RESULT | {"config": RESULT["config"] | {"lr": 0.1}, "time": {"train_seconds": 1, "later": "x"}}),
    (MetricsRow, {"epoch": 1, "test_top1": 9.0, "values": {"a": 1.0, "b": [1, None], "c": None}}),
    (Result, RESULT | {"target": {"reached": {"epoch": 1, "seconds": 2.5, "metric": "test_loss", "value": -0.5}}}),
]
MALFORMED = [
    (StatusFile, {"attempt": 1}, "it has no 'state'"),
    (StatusFile, STATUS | {"attempt": True}, "attempt is True; allowed: a valid integer"),
    (StatusFile, STATUS | {"state": ["x" * 99]}, "state is a list; allowed: a valid string"),
    (StatusFile, STATUS | {"attempt": "x" * 99}, f"attempt is '{'x' * 59}...; allowed: a valid integer"),
    (StatusFile, STATUS | {"attempt": -1}, "attempt is -1; allowed: greater than or equal to 0"),
    (ClaimFile, CLAIM | {"pid": 0}, "pid is 0; allowed: greater than 0"),
    (ClaimFile, CLAIM | {"pid": 2**31}, "pid is 2147483648; allowed: less than 2147483648"),
    (ClaimFile, CLAIM | {"started": 5}, "started is 5; allowed: a valid string"),
    (Environment, {"attempts": {}}, "attempts is a mapping; allowed: a valid list"),
    (Environment, {"attempts": [ATTEMPT, 3]}, "attempts[1] is 3; allowed: a valid dictionary"),
    (Environment, {"attempts": [ATTEMPT | {"host": 1}]}, "attempts[0].host is 1; allowed: a valid string"),
    (ClaimFile, CLAIM | {"host": []}, "host is a list; allowed: a valid string"),
    (Environment, {"attempts": [ATTEMPT | {"started": "x"}]}, "attempts[0].started is 'x'; allowed: a valid number"),
    (Result, RESULT | {"state": "lost"}, "state is 'lost'; allowed: 'done' or 'diverged'"),
    (Configured, {"config": {"seed": 0}}, "config has no 'data'"),
    (Result, RESULT | {"metrics": {"top1": True}}, "metrics.top1 is True; allowed: a valid number"),
    (Result, RESULT | {"one_platform": 1}, "one_platform is 1; allowed: a valid boolean"),
    (Result, RESULT | {"labels": []}, "labels is a list; allowed: a valid dictionary"),
    (Result, RESULT | {"spans": [[1.0]]}, f"spans[0] is a list; allowed: {TWO}"),
    (Result, RESULT | {"finished": "x"}, "finished is 'x'; allowed: a valid number"),
    (Result, RESULT | {"target": {"reached": {"step": "x"}}}, "target.reached.step is 'x'; allowed: a valid number"),
    (MetricsRow, {"values": {"a": ["b"]}}, "values.a.float is a list; allowed: a valid number"),
    (MetricsRow, {"values": {"a": True}}, "values.a.float is True; allowed: a valid number"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), SOUND)
def test_a_sound_value_is_returned_as_it_is(kind, value):
    assert check(value, kind) is value


@pytest.mark.parametrize(("kind", "value", "words"), MALFORMED)
def test_a_malformed_value_is_one_line(kind, value, words):
    with pytest.raises(ValueError) as caught:
        check(value, kind)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(json.loads("[" * 40 + "]" * 40), "nested too deep"), ({str(k): 0 for k in range(10**5)}, "too many entries")],
)
def test_a_value_that_no_reader_goes_through_is_refused(value, words):
    with pytest.raises(ValueError, match=words):
        require_small(value)


def test_a_malformed_row_is_left_out_and_the_others_keep_all_their_names(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": "x"}\n{"epoch": 1, "test_top1": 9.5}\n{"epoch": NaN}\n[1]\n')
    assert read_lines(path) == ([{"epoch": 1, "test_top1": 9.5}], 3)


def test_the_room_is_imported_without_pydantic_and_torch():
    code = "import record, sys; print({'pydantic', 'torch', 'omegaconf'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root).stdout
    assert told.strip() == "set()"
