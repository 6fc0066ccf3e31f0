"""One malformed file in a store: every reader and command names it in one line, and goes on with the other runs."""

import json
import os
from pathlib import Path

import pytest

from record.claim import is_live
from record.merge import merge
from record.read import read_store, status
from record.run import Claimed, Run, mark_failed
from record.supervise import skip_if_finished
from reports import logged, runs
from sweep.__main__ import main
from tests.record.conftest import make_config
from tests.sweep.test_verify import made

CHECK = "checkpoint-000000009-0123456789abcdef.pt"
HUGE = 10**400
DEEP = "[" * 900 + "]" * 900


def replaced(**change):
    """Return a damage that changes the keys of a JSON file; `...` removes one."""

    def damage(path):
        content = json.loads(path.read_text()) | change
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))

    return damage


def written(content):
    def damage(path):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def instead(make):
    def damage(path):
        path.unlink(missing_ok=True)
        make(path)

    return damage


def enormous(path):
    path.touch()
    os.truncate(path, 2**40)  # a hole: it takes no room


NO_FILES = {
    "pipe": instead(os.mkfifo),
    "folder": instead(os.mkdir),
    "device": instead(lambda path: path.symlink_to("/dev/zero")),
    "link": instead(lambda path: path.symlink_to("/etc/passwd")),
    "nowhere": instead(lambda path: path.symlink_to("nowhere")),
    "enormous": instead(enormous),
    "empty": written(""),
    "UTF-16": written("{}".encode("utf-16")),
    "not UTF-8": written(b'{"a": "\xff\xfe"}'),
    "NUL": written(b"\0" * 100),
    "deep": written(DEEP),
    "deep below": written('{"a": ' + DEEP + "}"),
    "integer": written(f'{{"schema": {HUGE}}}'),
    "list": written("[]"),
    "scalar": written("1"),
}
ALIEN = {
    "result.json": {
        **{name: replaced(**{name: ...}) for name in ("state", "config", "metrics", "id", "group_id", "attempts")},
        **{f"null {name}": replaced(**{name: None}) for name in ("state", "config", "metrics", "labels", "platform")},
        "state 7": replaced(state=7),
        "state odd": replaced(state="done\nand more"),
        "metrics text": replaced(metrics={"test_top1": "92"}),
        "metrics integer": replaced(metrics={"test_top1": HUGE}),
        "metrics list": replaced(metrics=[1]),
        "attempts text": replaced(attempts="two"),
        "time list": replaced(time=[1]),
        "time text": replaced(time={"train_seconds": "long"}),
        "schema text": replaced(schema="1"),
        "NaN": lambda path: path.write_text(path.read_text().replace("92.0", "NaN")),
        "1e999": lambda path: path.write_text(path.read_text().replace("92.0", "1e999")),
    },
    "status.json": {
        "attempt text": replaced(attempt="x"),
        "state 7": replaced(state=7),
        "message": replaced(message=["a"]),
    },
    "environment.json": {
        "attempts": replaced(attempts=3),
        "none": replaced(attempts=[]),
        "attempt": replaced(attempts=[{"started": "yesterday"}]),
    },
    "metrics.jsonl": {
        "epoch x": written('{"kind": "epoch", "epoch": "x"}\n{"kind": "epoch", "epoch": 1}\n'),
        "values": written('{"probe": "norms", "epoch": 1, "values": [1]}\n{"probe": "norms", "step": 1}\n'),
        "layers": written('{"probe": "norms", "epoch": 1, "values": {"a": ["b"]}, "layers": [1]}\n'),
        "NaN": written('{"kind": "epoch", "epoch": NaN}\n'),
    },
    "config.yaml": {"tag": written("!!python/object/apply:os.getcwd []"), "date": written("seed: 2020-01-01")},
    "claim-000009.json": {"pid": written('{"pid": -1, "host": "h", "machine": "m"}')},
    "claim-abc.json": {},
    "weights.pt": {},
    CHECK: {},
    "log.txt": {},
}
ALL = [(name, kind) for name, own in ALIEN.items() for kind in (*NO_FILES, *own)]
PLACES = {case: number for number, case in enumerate((name, kind) for name in ALIEN for kind in NO_FILES)}
SOME = [case for case in ALL if PLACES.get(case, 0) % 4 == 0]  # each file's own damages, and a fourth of the others
NAMED = ("result.json", "status.json", "environment.json", "metrics.jsonl", "config.yaml")  # the others may just go
FINISHED = (*NAMED, "weights.pt")
UNFINISHED = (
    "status.json",
    "environment.json",
    "metrics.jsonl",
    "claim-000009.json",
    "claim-abc.json",
    "log.txt",
    CHECK,
)


def unfinished(store, seed):
    with Run(store, make_config(seed=seed), facts={"device": "cpu", "threads": 1}) as run:
        run.metrics.append({"kind": "epoch", "epoch": 1})
        run.stop()
    return run.folder


@pytest.fixture(scope="module", params=[SOME, pytest.param(ALL, marks=pytest.mark.soak)], ids=["some", "all"])
def damaged(request, tmp_path_factory):
    """A store of two sound runs and one for each damage: the cases by folder."""
    store, cases = tmp_path_factory.mktemp("alien") / "runs", {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        for seed in (1000, 1001):
            made(store, seed=seed)
        for seed, (name, kind) in enumerate(request.param):
            for make, names, first in ((made, FINISHED, 0), (unfinished, UNFINISHED, 500)):
                if name in names:
                    folder = make(store, seed=first + seed)
                    {**NO_FILES, **ALIEN[name]}[kind](folder / name)
                    cases[folder] = (name, kind)
    return cases


def every_reader(store: Path, sweep_file: Path, capsys) -> list[str]:
    """Run everything that reads a store; what one raises fails the test. Returns their lines."""
    rows, lines = read_store(store)
    for row in runs.read(store).rows:
        logged.curve(row)
        logged.series(row, "norms", "a")
    for words in (["plan", sweep_file], ["status", sweep_file], ["verify"]):
        assert main([*map(str, words), *(["--store"] if len(words) > 1 else []), str(store)]) in (0, 3, 4)
    lines += merge([store], store.parent / "merged")[1]
    assert len(read_store(store.parent / "merged")[0]) == len(rows)
    assert {row["seed"] for row in rows} >= {1000, 1001}
    return [*lines, *capsys.readouterr().out.splitlines()]


def test_one_alien_file_stops_nobody(damaged, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    store, sweep_file = next(iter(damaged)).parents[3], tmp_path / "one.yaml"
    sweep_file.write_text(f"seeds: {list(range(40))}\ngrid: [{{optimizer: sgd}}]")
    lines = every_reader(store, sweep_file, capsys)
    silent = [
        (name, kind, folder)
        for folder, (name, kind) in damaged.items()
        if name in NAMED and int(folder.name[1:].partition("-")[0]) < 500
        if not any(str(folder) in line and name in line for line in lines)
    ]
    assert not silent
    print(f"{len(damaged)} damaged runs, {len(lines)} lines")


def test_one_alien_file_is_refused_by_writers_in_one_line_or_replaced(damaged, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    monkeypatch.setattr("record.claim.UNSIGNED", 0.01)
    store = next(iter(damaged)).parents[3]
    for folder in damaged:
        mark_failed(folder, "crashed", "killed")
        seed = int(folder.name[1:].partition("-")[0])
        config = make_config(seed=seed, paths={"store": str(store)})
        for call in (skip_if_finished, attempt):
            try:
                call(config)
            except (OSError, ValueError, Claimed) as error:
                assert "\n" not in str(error), error  # noqa: PT017


def attempt(config):
    with Run(config["paths"]["store"], config, facts={"device": "cpu", "threads": 1}) as run:
        run.load_checkpoint()
        run.metrics.append({"kind": "epoch", "epoch": 2})
        run.finish({"state": "done", "metrics": {}})
    assert status(run.folder).finished
    assert not is_live(run.folder)
