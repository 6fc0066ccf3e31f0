"""The observer's promises: nothing changes, nothing is done when nothing is due."""

import ast
import copy
import inspect
import json
from pathlib import Path

import pytest
import torch
import yaml

import optim
import probes
from probes.observer import PROBES
from tests.fake_cuda import FakeTensorMode
from tests.probes.nets import net, train


def test_no_probes_no_rows():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    observer = probes.build({}, model, optimizer, 0)
    assert train(model, optimizer, observer) == []
    assert observer.epoch_end(1) == []


def test_due_only_every_n_steps():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rows = train(model, optimizer, probes.build({"norms": {"every": 2}}, model, optimizer, 0))
    assert [row["step"] for row in rows] == [0, 2, 4]
    assert all(len(row["layers"]) == len(row["values"]["norm"]) == 8 for row in rows)


def test_scalars_alone():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (row,) = train(model, optimizer, probes.build({"norms": {"per_layer": False}}, model, optimizer, 0))
    assert "layers" not in row
    assert all(isinstance(value, float) for value in row["values"].values())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"norm": {}}, "nearest: norms"),
        ({"norms": {"evry": 1}}, "evry"),
        ({"norms": {"layers": ["conv*"]}}, "matches no weight"),
    ],
)
def test_mistakes_are_one_line(options, said):
    model = net()
    with pytest.raises(ValueError, match=said) as raised:
        probes.build(options, model, torch.optim.SGD(model.parameters(), lr=0.1), 0)
    assert "\n" not in str(raised.value)


EVERY = {name: {"every": 1} for name in ("norms", "spherical", "cosine", "projection", "blocks")}
ALL = EVERY | {"gradient": {"every": 2, "window": 2}, "ranks": {"linear": True}}


@pytest.mark.parametrize("target", [torch.optim.SGD, torch.optim.AdamW, optim.SING])
def test_probes_change_nothing(target):
    """The same weights to the bit, and the global generator where it was, whichever of all probes look on."""
    assert set(ALL) == set(PROBES)
    finals = []
    for options in ({}, ALL, *({name: keywords} for name, keywords in ALL.items())):
        model = net(torch.float32)
        optimizer = target(model.parameters(), lr=0.01)
        observer = probes.build(options, model, optimizer, 7)
        rows = train(model, optimizer, observer) + observer.epoch_end(1)
        assert {row["probe"] for row in rows} == set(options)
        finals.append((list(model.state_dict().values()), torch.get_rng_state()))
    weights, streams = zip(*finals, strict=True)
    assert all(torch.equal(one, first) for other in weights for one, first in zip(other, weights[0], strict=True))
    assert all(torch.equal(stream, streams[0]) for stream in streams)


def test_rows_are_plain_json():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    observer = probes.build(ALL, model, optimizer, 0)
    rows = train(model, optimizer, observer) + observer.epoch_end(1)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_a_resumed_observer_goes_on_with_its_window():
    def run(stop):
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        observer = probes.build({"gradient": {"every": 4, "window": 4}}, model, optimizer, 0)
        rows = train(model, optimizer, observer, steps=stop)
        resumed = probes.build({"gradient": {"every": 4, "window": 4}}, model, optimizer, 0)
        resumed.load_state_dict(copy.deepcopy(observer.state_dict()))
        return rows + train(model, optimizer, resumed, steps=8 - stop, first=stop)

    assert run(2) == run(8)
    assert any("noise" in row["values"] for row in run(2))


def test_a_window_goes_on_on_a_gpu_where_its_checkpoint_was_read_to_the_cpu():
    with FakeTensorMode():
        probe = PROBES["gradient"](every=4, window=4)
        probe.state = {"count": 1, "squares": torch.zeros((), dtype=torch.float64), "sums": [torch.zeros(3)]}
        probe.add([torch.zeros(3, device="cuda")], first=False)
        assert probe.state["sums"][0].device.type == "cuda"


def test_every_probe_has_its_yaml_and_takes_its_defaults():
    folder = Path(probes.__file__).parent.parent / "conf" / "probe"
    files = {path.stem: path for path in folder.glob("*.yaml") if path.stem != "none"}
    assert set(files) == set(PROBES)
    model = net()
    for name, path in files.items():
        keywords = yaml.safe_load(path.read_text())[name]
        own = inspect.signature(PROBES[name]).parameters
        defaults = inspect.signature(probes.Probe).parameters if "options" in own else {}
        wanted = {k: p.default for k, p in {**defaults, **own}.items() if k != "options"}
        assert {k: tuple(v) if isinstance(v, list) else v for k, v in keywords.items()} == wanted
        probes.build({name: keywords}, model, torch.optim.SGD(model.parameters(), lr=0.1), 0)


def test_observers_import_two_formulas_of_another_room_and_its_hint():
    for path in Path(probes.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None) or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            found = {name for name in names if name.split(".")[0] == "optim"}
            assert found <= {"optim.evbmf", "optim.invariance.radial_cosine", "optim.stages.base.near"}, path


def test_each_tensor_is_copied_once_and_only_for_probes_that_need_it():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"norms": {"layers": ["0.*"]}, "cosine": {"layers": ["0.*", "3.*"]}, "blocks": {"every": 2}}
    observer = probes.build(options, model, optimizer, 0)
    observer.begin(1, 0)
    assert not observer._steps
    observer.begin(0, 0)
    steps = observer._steps
    assert [len(steps[name].before) for name in options] == [1, 2, 0]
    assert steps["norms"].before[0] is steps["cosine"].before[0]
