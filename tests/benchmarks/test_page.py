import json

import pytest

from benchmarks.page import page
from conf.errors import UsageError


def test_rows_are_a_table_and_facts_are_lines(tmp_path):
    report = {"rounds": 7, "net/sing": [{"side": "ours", "ms": 1.23456}, {"side": "peer", "ms": 2.0, "state": 3}]}
    (tmp_path / "optimizers.json").write_text(json.dumps(report))
    lines = page(tmp_path).splitlines()
    assert "- rounds: 7" in lines
    assert lines[lines.index("### net/sing") + 2 :][:4] == [
        "| side | ms | state |",
        "|" + " --- |" * 3,
        "| ours | 1.235 |  |",
        "| peer | 2 | 3 |",
    ]


def test_a_mapping_of_rows_names_them_in_the_first_column(tmp_path):
    (tmp_path / "start.json").write_text(json.dumps({"found": {"plan": {"seconds": 1.5}}}))
    assert "| plan | 1.5 |" in page(tmp_path)


def test_a_figure_of_a_report_is_shown_below_it(tmp_path):
    (tmp_path / "growth.json").write_text(json.dumps({"rounds": 1}))
    (tmp_path / "growth.png").write_bytes(b"")
    assert "![growth](growth.png)" in page(tmp_path)


def test_a_folder_without_reports_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="no report in it"):
        page(tmp_path)
