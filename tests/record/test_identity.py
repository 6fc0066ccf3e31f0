import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from record import identity
from record.identity import group_id, run_folder, run_id, semantic, todays


def reordered(node):
    return {k: reordered(node[k]) for k in reversed(node)} if isinstance(node, dict) else node


def test_id_is_the_same_in_another_process_and_for_another_key_order(config):
    code = (
        "import json, sys; from record.identity import run_id, semantic; print(run_id(semantic(json.load(sys.stdin))))"
    )
    there = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(reordered(config)),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONHASHSEED": "7", "PATH": ""},
    )
    assert there.stdout.strip() == run_id(semantic(config))


def test_id_is_pinned(config):
    # A change here orphans every stored run: register an absent default instead (record/identity.py).
    assert run_id(semantic(config)) == "d87d258053ce"


@pytest.mark.parametrize(("one", "other"), [(1e-3, 0.001), (1, 1.0), (1e0, 1), (-0.0, 0), ([1.0, 2], [1, 2.0])])
def test_numbers_have_one_form(config, one, other):
    ids = []
    for value in (one, other):
        config["optimizer"]["lr"] = value
        ids.append(run_id(semantic(config)))
    assert ids[0] == ids[1]


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), (1, "1"), (None, 0), (0.1, 0.1 + 1e-16)])
def test_different_values_differ(config, one, other):
    ids = set()
    for value in (one, other):
        config["optimizer"]["lr"] = value
        ids.add(run_id(semantic(config)))
    assert len(ids) == 2


def test_runtime_keys_do_not_matter_and_others_do(config):
    first = run_id(semantic(config))
    for key in ("device", "threads", "keep", "tuned", "protocol_name", "scale_name", "paths", "logger", "notes"):
        assert run_id(semantic(config | {key: "other"})) == first, key
    for key in ("seed", "batch_size", "budget", "data"):
        assert run_id(semantic(config | {key: {"name": "other"}})) != first, key
    config["data"]["verify"] = False
    assert run_id(semantic(config)) == first


def test_absent_defaults_orphan_nothing(config, monkeypatch):
    before = run_id(semantic(config))
    monkeypatch.setitem(identity.ABSENT, "optimizer.foam", 0.5)
    config["optimizer"]["foam"] = 0.5
    assert run_id(semantic(config)) == before
    config["optimizer"]["foam"] = 0.6
    assert run_id(semantic(config)) != before


def test_a_renamed_key_keeps_the_ids(config):
    config["data"]["stand_in"] = 16
    stored = semantic(config)
    config["data"]["synthetic"] = config["data"].pop("stand_in")
    assert semantic(config) == stored
    today = todays(stored)
    assert (today["data"]["synthetic"], "stand_in" in today["data"]) == (16, False)
    assert semantic(today) == stored


def test_group_is_shared_by_seeds(config):
    kept = [semantic(config | {"seed": seed}) for seed in (0, 1)]
    assert group_id(kept[0]) == group_id(kept[1])
    assert run_id(kept[0]) != run_id(kept[1])


def test_folder(config):
    folder = run_folder(Path("runs"), config)
    assert folder == Path("runs/digits/resnet18/sgd") / f"s0-{run_id(semantic(config))}"
    config["optimizer"]["name"] = "my/own"
    assert run_folder(Path("runs"), config).parent.name == "my_own"


def test_semantic_is_idempotent_and_leaves_its_argument_alone(config):
    before = copy.deepcopy(config)
    kept = semantic(config)
    assert config == before
    assert semantic(kept) == kept


def test_objects_are_refused(config):
    config["optimizer"]["lr"] = object()
    with pytest.raises(TypeError, match="plain values only"):
        semantic(config)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(value=plain)
def test_a_round_trip_through_json_keeps_the_id(value):
    kept = semantic({"x": value})
    assert run_id(json.loads(json.dumps(kept))) == run_id(kept)
