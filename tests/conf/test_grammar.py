"""Hydra's grammar: a path is any path, a text arrives as it is, a number keeps its kind."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conf import grammar, groups, multirun
from conf.compose import compose
from conf.errors import UsageError

HOSTILE = (
    *(
        "a=b",
        "a,b",
        "(a)",
        "[a]",
        "{a}",
        "{a: b}",
        "o'neil",
        'say "x"',
        "a&b",
        "a#1",
        "~me",
        "a;b",
        "a!b",
        "a^b",
        "<a>",
    ),
    *("my drive (1)", "trail ", "  lead", "tab\tx", "müller", "😀", "new\nline", "a:b", "a|b", "$HOME", "`x`", "%s"),
    *("${seed}", "${oc.env:HOME}", r"\${seed}", r"a\\${b}", "x${", "back\\slash", "end\\", "\\'", "*?", "@x", "+x"),
    *("null", "true", "1e-3", "inf", "'quoted'", "f(x)", "a=b,c=d", "--flag", "interval(0,1)", "glob(*)"),
)

EVERY = "/".join(HOSTILE)  # in one path, so that it is composed once
ENDS = (EVERY, "a,b", "trail ", "${seed}", "end\\", "\\'", "x${")


@pytest.mark.parametrize("name", ENDS)
def test_a_path_is_any_path(name: str) -> None:
    path = f"/nowhere/{name}"
    config = compose([f"paths.store={path}", f"++paths.data={path}", f"paths.cache={grammar.verbatim(path)}"])
    assert set(config["paths"].values()) == {path}


def test_a_path_in_quotes_is_hydras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch")
    assert compose(["paths.store='${oc.env:SCRATCH}/runs'"])["paths"]["store"] == "/scratch/runs"


@pytest.mark.parametrize("name", ["${seed} a=b ", "???"])
def test_a_path_from_the_environment_is_taken_as_it_is(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPBENCH_STORE", f"/nowhere/{name}")
    assert compose([])["paths"]["store"] == f"/nowhere/{name}"


def test_a_tilde_is_the_users_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("STEPBENCH_STORE", "~/runs")
    assert compose(["paths.data=~/sets"])["paths"] == compose([])["paths"] | {"data": "/home/me/sets"}
    assert compose([])["paths"]["store"] == "/home/me/runs"


def test_a_value_that_is_still_to_be_given_is_one_line() -> None:
    for word in ("paths.store=???", "optimizer.lr=???", "device=???"):
        with pytest.raises(UsageError, match=r"\?\?\?"):
            compose([word])


@pytest.mark.parametrize("name", ["a,b", "o'neil (1)=b"])
def test_a_tuned_file_may_lie_anywhere(name: str, tmp_path: Path) -> None:
    path = tmp_path / name / "mine.yaml"
    path.parent.mkdir()
    path.write_text("entries: [{optimizer: sgd, set: {optimizer.lr: 0.25}, from: x}]")
    for word in (f"tuned={path}", grammar.word("tuned", str(path))):
        assert compose(["optimizer=sgd", word])["optimizer"]["lr"] == 0.25


@pytest.mark.parametrize("value", [*HOSTILE, "", "a b", "x: y", "007", "a/b.c-d_e", "rmsgd", [1, "a,b"], {"a": "b=c"}])
def test_a_value_is_read_as_what_it_is(value: Any) -> None:
    assert grammar.parse([grammar.word("key", value)])[0].value() == value


@pytest.mark.parametrize("value", [1, 1.0, 1e-7, 1e22, True, None, [0.9, [1, None]], {"lr": 1e-3}, "sgd", "a b", "5x"])
def test_what_needs_no_quotes_has_none(value: Any) -> None:
    assert "'" not in grammar.word("key", value)
    assert repr(grammar.parse([grammar.word("key", value)])[0].value()) == repr(value)


def test_every_job_of_a_multirun_has_the_path_that_was_given() -> None:
    for name in (EVERY, "trail ", "end\\"):
        jobs, launcher = multirun.split(["seed=1,2", f"paths.store=/nowhere/{name}"])
        assert [config["paths"]["store"] for config, _ in jobs] == [f"/nowhere/{name}"] * 2
        assert launcher == []


@pytest.mark.parametrize("name", ["a=b,(c) ${seed} müller", "new\nline 😀 o'neil & [x] {y} "])
def test_a_checkout_may_lie_anywhere(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    checkout = tmp_path / name / "stepbench"
    checkout.symlink_to(groups.ROOT.parent)
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "from conf import groups, multirun; from conf.compose import compose\n"
        "print(json.dumps([str(groups.ROOT), compose(['optimizer=sgd']), len(multirun.split(['seed=0,1'])[0])]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(checkout)], cwd=tmp_path / name, capture_output=True, text=True, check=True
    )
    root, config, jobs = json.loads(done.stdout)
    assert (root, jobs) == (os.fspath(checkout / "conf"), 2)
    assert config == compose(["optimizer=sgd"])
