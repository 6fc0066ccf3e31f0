"""What holds for every test."""

import pytest


@pytest.fixture(autouse=True)
def clean_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run folder has the same files whether or not somebody is at work on the suite."""
    monkeypatch.setattr("record.run.code_diff", lambda: "")
