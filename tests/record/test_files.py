import json
import math
import os
import resource
import tracemalloc

import pytest

from record.files import write_atomic, write_json
from record.lines import Lines, read_lines


@pytest.fixture
def small_disk():
    """Refuse to write any file past 4,096 bytes, as a full disk would (EFBIG for ENOSPC)."""
    import signal

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)
    signal.signal(signal.SIGXFSZ, handler)


def test_not_finite_becomes_null(tmp_path):
    write_json(tmp_path / "a.json", {"loss": math.nan, "deep": [{"x": -math.inf}], "fine": 1.5})
    assert json.loads((tmp_path / "a.json").read_text()) == {"loss": None, "deep": [{"x": None}], "fine": 1.5}


def test_a_torn_last_line_is_skipped_and_counted(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = Lines(path)
    lines.append({"epoch": 1})
    lines.append({"epoch": 2})
    lines.close()
    path.write_bytes(path.read_bytes()[:-4])
    assert read_lines(path) == ([{"epoch": 1}], 1)
    assert read_lines(tmp_path / "absent.jsonl") == ([], 0)


def test_a_hole_of_gigabytes_is_read_in_little_memory(tmp_path, monkeypatch):
    """Without a line end a whole file would be one line: 8 GB for what takes no room on the disk."""
    path = tmp_path / "metrics.jsonl"
    path.touch()
    os.truncate(path, 2**24)
    monkeypatch.setattr("record.lines.MOST_LINE", 2**20)
    tracemalloc.start()
    rows, torn = read_lines(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == []
    assert torn > 0
    assert peak < 2**23


def test_cut_forgets_what_a_checkpoint_does_not_know(tmp_path):
    lines = Lines(tmp_path / "metrics.jsonl")
    lines.append({"epoch": 1})
    known = lines.length
    lines.append({"epoch": 2})
    lines.close()
    again = Lines(tmp_path / "metrics.jsonl")
    again.cut(known)
    again.append({"epoch": 20})
    again.close()
    assert read_lines(again.path) == ([{"epoch": 1}, {"epoch": 20}], 0)


def test_full_disk_keeps_the_old_file_and_leaves_no_litter(tmp_path, small_disk):
    path = tmp_path / "a.bin"
    write_atomic(path, b"old")
    with pytest.raises(OSError):
        write_atomic(path, b"x" * 10_000)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_full_disk_leaves_whole_lines_only(tmp_path, small_disk):
    lines = Lines(tmp_path / "metrics.jsonl")
    count = 4096 // len('{"epoch": 10, "pad": ""}\n' + "x" * 90)
    for epoch in range(10, 10 + count):
        lines.append({"epoch": epoch, "pad": "x" * 90})
    with pytest.raises(OSError):
        lines.append({"epoch": 99, "pad": "x" * 90})
    lines.close()
    rows, torn = read_lines(lines.path)
    assert (len(rows), torn) == (count, 0)
    assert lines.path.stat().st_size == lines.length
