"""Words that no longer occur: old names of things, and phrases that make a reader stop."""

import re
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INSTEAD = {  # a regular expression: what is written in its place
    r"\bdoubts?\b": "warning, warnings",
    r"\bstand_in\b": "synthetic",
    r"\bmade_up\b": "synthetic",
    r"\bMistake\b": "UsageError",
    r"\bknobs?\b": "key, option",
    r"\bwhere_known\b": "set_if_present",
    r"\bother_choices\b": "replaced_groups",
    r"\b_self_portrait\b": "_owner_info",
    r"\bfound_step\b": "apply_line_search",
    r"\b(movers|followers|remembers)\b": "retract_stages, after_step_stages, needs_before",
    r"(?i)\bcanar(y|ies)\b": "warning, warnings",
    r"(?i)\byardsticks?\b": "reference, reference_id",
    r"\balready_there\b": "skip_if_finished",
    r"\b(owes_end|gathered|standing|crossing)\(": "epoch_end_pending, gather_objects, paused, time_to_target",
    r"(?i)\brivals?\b": "optimizer, the run that asks",
    r"(?i)\bselection\.offer\b": "update",
    r"(?i)\bworld\.(leads|tell|share)\b": "is_main, broadcast_object, shard",
    r"\bsettle\b": "clean_finished, load_selected_weights",
    r"\bsynchronised\b": "convert_sync_batchnorm, unsynchronized",
    r"(?i)\bsays? of (it|them)sel(f|ves)\b": "reports",
    r"(?i)\bcontest(s|ed)?\b": "comparison",
    r"(?i)\bowe[sd]?\b": "still has to",
    r"(?i)\bhouse('s)?\b": "layout, suite",
    r"(?i)\b(how|as|where) (it|he|she) stands\b": "its state, as it is, where it is",
    r"(?i)\bstands (above|after|at|below|beside|here|in|next|on|still|untouched|with)\b": "is",
}
# Who reads or explains an old name, of a key or in a stored result, still has to write it.
KEPT = {
    r"(?i)\bhouse('s)?\b": {"data/spoken_words.py"},  # one of Speech Commands' words
    r"\bdoubts?\b": {"record/identity.py"},
    r"(?i)\bcanar(y|ies)\b": {"record/identity.py", "conf/compose.py", "tests/train/test_warnings.py"},
    r"\bstand_in\b": {
        *("record/identity.py", "reports/runs.py"),
        *("tests/record/test_identity.py", "tests/reports/test_tables.py", "tests/reports/test_leaderboard.py"),
    },
}
UNREAD = ("CHANGELOG.md", "tests/test_words.py")  # these list the old names


@lru_cache
def texts() -> dict[str, list[str]]:
    """Return the lines of each source file, page and configuration; stored runs stay as they were written."""
    kinds = ("*.py", "*.md", "*.yaml", "*.yml", "*.toml", ":!results/*/*")
    listed = subprocess.run(["git", "ls-files", *kinds], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.splitlines() if name not in UNREAD and (ROOT / name).is_file()]
    return {name: (ROOT / name).read_text().splitlines() for name in names}


@pytest.mark.parametrize("word", INSTEAD)
def test_a_word_that_was_given_up_does_not_come_back(word: str) -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name, lines in texts().items()
        if name not in KEPT.get(word, ())
        for number, line in enumerate(lines, start=1)
        if re.search(word, line)
    ]
    assert not found, "\n".join([f"/{word}/ is no longer used; write: {INSTEAD[word]}", *found])


def test_the_exceptions_are_still_needed() -> None:
    unused = [f"{name}: {word}" for word, names in KEPT.items() for name in names if not re.search(word, _joined(name))]
    assert not unused


def _joined(name: str) -> str:
    return "\n".join(texts().get(name, []))
