"""Command lines made from the schema, with one thing wrong in each: one line, exit code 1, before torch."""

import io
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import data
from conf import cli, command_line, groups
from sweep.__main__ import main as sweep

NO_NUMBER = ("nan", "-inf", "1e400", "''", "abc", "[]", "{a: 1}", "[1,2,3,4,5]", "true", "9" * 400, "'1'")
NO_SWITCH = ("3", "''", "null", "[]", "{a: 1}", "yes!", "nan")
NO_WORD = ("''", "3", "null", "[]", "{a: 1}", "true", "[x]", "nan")
NO_LIST = ("[]", "3", "''", "abc", "null", "true", "[nan]", "[[0.5,0.5],[0.5,0.5]]", "[null,null,null]", "{a: 1}")
NO_MAPPING = ("3", "abc", "[]", "true", "null", "''")
NO_FOLDER = ("''", "/dev/null", "/dev/null/below", "3", "null", "[]", "'  '", "n" * 5000, "true")
BROKEN = ("=", "seed", "optimizer.lr=[", "seed=1 2", "--frobnicate", "-x", "~seed", "+none=1", "seed==", "{", "'", "")
FREE = ("freeze", "warnings", "tuned", "target.metric", "device")  # of many forms, or known to others alone


def leaves(node, prefix=""):
    for key, value in node.items():
        yield f"{prefix}{key}", value
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")


def keys():
    """Every key of the root and of every yaml: the words that choose the yaml, the key, its default and its range."""
    for key, default in leaves(groups.root()):
        if key.split(".")[0] not in (*groups.CHECKED, *groups.HIDDEN) and key not in FREE:
            yield [], key, default, groups.root_ranges().get(key)
    for group in groups.CHECKED:
        for option in groups.options(group):
            content = groups.raw(group, option)
            for key, default in leaves({k: v for k, v in content.items() if k not in groups.RESERVED}):
                if not key.startswith(("args", "groups.")) and key not in ("name", "target"):
                    yield [f"{group}={option}"], f"{group}.{key}", default, content.get("ranges", {}).get(key)


KEYS = list(keys())


def wrong_values(key, default, allowed):
    if key.startswith("paths."):
        return NO_FOLDER
    if isinstance(default, dict):
        return NO_MAPPING
    if isinstance(default, bool):
        return NO_SWITCH
    if isinstance(default, list) or (isinstance(allowed, str) and " and " in allowed):
        return [word for word in NO_LIST if word != "null" or default is not None]
    if isinstance(default, str):
        return NO_WORD if allowed is None else (*NO_WORD, f"{default}x")
    endless = "inf]" in str(allowed)
    return [word for word in (*NO_NUMBER, *outside(allowed)) if not (endless and word in ("inf", "1e400"))]


def outside(allowed):
    """The numbers next to an interval, or beside choices."""
    if isinstance(allowed, list):
        return ["77"]
    ends = re.fullmatch(r"(?:whole )?([\[(])(\S+), (\S+)([\])])", allowed or "(-inf, inf)").groups()
    low = ends[1] if ends[0] == "(" else f"{float(ends[1]) - 1:.17g}"
    high = ends[2] if ends[3] == ")" else f"{float(ends[2]) + 1:.17g}"
    return [low, high]


@st.composite
def wrong_lines(draw):
    """One command line that has one thing wrong."""
    kind = draw(st.sampled_from(("value", "value", "value", "key", "option", "fixed", "broken")))
    chosen, key, default, allowed = draw(st.sampled_from(KEYS))
    if kind == "value":
        return [*chosen, f"{key}={draw(st.sampled_from(list(wrong_values(key, default, allowed))))}"]
    if kind == "key":
        return [*chosen, f"{key}{draw(st.sampled_from(('x', '.x', '_')))}=1"]
    if kind == "option":
        group = draw(st.sampled_from(groups.GROUPS))
        return [f"{group}={draw(st.sampled_from((*groups.options(group), 'x')))}{draw(st.sampled_from('xz_'))}"]
    if kind == "fixed":
        group = draw(st.sampled_from(groups.TARGETED))
        return [f"{group}.{draw(st.sampled_from(('name', 'target', 'version')))}={draw(st.sampled_from(NO_WORD))}"]
    return [draw(st.sampled_from(BROKEN))]


@st.composite
def asked(draw):
    """A wrong line, and how it comes: a run, one of several runs, a run of a table."""
    line = draw(wrong_lines())
    return draw(st.sampled_from(("run", "run", "multirun", "plan"))), line


def leave(how, line):
    """Run the command as far as it goes without torch; returns its exit code and what it wrote to stderr."""
    errors = io.StringIO()
    with redirect_stderr(errors), redirect_stdout(io.StringIO()), mock.patch.dict(sys.modules, {"torch": None}):
        try:
            if how == "plan":
                code = cli.guarded(lambda: sweep(["plan", "digits_demo", "--", *line]))
            else:
                words = ["-m", "seed=1,2", *line] if how == "multirun" else line
                with mock.patch.object(sys, "argv", ["train.py", *words]):
                    code = f"accepted: {command_line.begin(lambda config: True, data.look)}"
        except SystemExit as left:
            code = left.code
    return code, errors.getvalue()


def check(how, line):
    code, errors = leave(how, line)
    assert code == 1, f"{how} {line}: exit code {code}"
    assert len(errors.splitlines()) == 1, f"{how} {line}: {errors}"
    assert errors.startswith("stepbench: "), f"{how} {line}: {errors}"


QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=20, derandomize=True, **QUIET)
@given(asked())
def test_one_thing_wrong_is_one_line(case) -> None:
    check(*case)


@pytest.mark.soak
@settings(max_examples=600, **QUIET)
@given(asked())
def test_one_thing_wrong_is_one_line_at_length(case) -> None:
    check(*case)


@pytest.mark.soak
@pytest.mark.parametrize(("chosen", "key", "default", "allowed"), KEYS, ids=[f"{c} {k}" for c, k, *_ in KEYS])
def test_every_wrong_value_of_every_key(chosen, key, default, allowed) -> None:
    for value in wrong_values(key, default, allowed):
        check("run", [*chosen, f"{key}={value}"])
