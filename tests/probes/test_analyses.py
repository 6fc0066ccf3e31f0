"""The analyses' own parts: checks, files, the loop, and what they find on small cases."""

import ast
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import probes
from conf.errors import UsageError
from conf.groups import raw
from probes.analyses import growth, narrow, norms, quality, theorem4, tracking
from probes.analyses.command import NAMES, main
from probes.analyses.draw import Check, plt, save
from probes.analyses.loop import fit, load, long
from probes.analyses.quality import correlations
from probes.analyses.scale import Scale

DIGITS = load(raw("data", "digits"))


@pytest.mark.parametrize(
    ("check", "met"),
    [
        (Check("", 2.93, 2.95), True),
        (Check("", 2.93, 2.97), False),
        (Check("", 2, 5), False),
        (Check("", 2, 5, at_least=True), True),
        (Check("", 2, 1, at_least=True), False),
        (Check("", 1, float("nan"), at_least=True), False),
    ],
)
def test_check(check, met):
    assert check.met == met
    assert ("agrees" if met else "DIFFERS") in str(check)


def test_save_writes_picture_vector_and_data(tmp_path):
    figure, axis = plt.subplots()
    axis.plot([1, 2])
    save(figure, tmp_path / "new", "name", pd.DataFrame({"x": [1.0]}), "calibrated")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"name.png", "name.pdf", "name.csv"}
    assert figure._supxlabel.get_text() == "calibrated"


def test_command_exits_with_2_where_a_number_is_missed(tmp_path, monkeypatch, capsys):
    assert {"toy2d", "rosenbrock3d"} <= set(NAMES)
    monkeypatch.setattr("probes.analyses.toy2d.run", lambda out, scale: [Check("norm", 2.93, 3.5)])
    assert main(["toy2d", "--out", str(tmp_path)]) == 2
    assert "DIFFERS" in capsys.readouterr().out
    assert main(["toy2d", "--out", str(tmp_path), "--scale", "smoke"]) == 0
    monkeypatch.setattr("probes.analyses.toy2d.run", lambda out, scale: [Check("norm", 2.93, 2.93)])
    assert main(["toy2d", "--out", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["toy3d"], "probes: unknown 'toy3d'.*nearest: toy2d"),
        (["toy2d", "--scale", "papers"], "--scale: unknown 'papers'; allowed: cpu, paper, smoke; nearest: paper"),
        (["toy2d", "--data", "fashion"], "--data: unknown 'fashion'.*nearest: fashion_mnist"),
        (["toy2d", "--out"], "expected one argument"),
    ],
)
def test_mistakes_are_one_line(words, said):
    with pytest.raises(UsageError, match=said) as raised:
        main(words)
    assert "\n" not in str(raised.value)


def test_data_in_the_place_of_the_scales_own():
    assert Scale("cpu").dataset(tracking.SETS)["name"] == "fashion_mnist"
    assert Scale("cpu", "digits").dataset(tracking.SETS)["name"] == "digits"
    assert Scale("cpu", "svhn").words(norms.SETS, norms.WORDS)[0] == "data=svhn"


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_corollary_2_3(beta):
    rows = growth.measured(DIGITS, beta, 250)
    assert rows.ratio.tolist() == pytest.approx([1 + 2 * beta / (1 - beta)] * 2, rel=0.02)


@pytest.mark.parametrize("depth", [1, 9])
def test_theorem_3_1_is_met_with_equality(depth):
    for row in narrow.escapes(depth):
        assert row["rate"] == pytest.approx(row["bound"], rel=1e-6)


def test_theorem_4_paths_meet_faster_than_second_order():
    gaps = [theorem4.angle(*theorem4.pair(rate)).max() for rate in (0.008, 0.004)]
    assert 0 < gaps[1] < gaps[0] / 4


def test_loop_is_repeatable_and_leaves_the_global_stream_alone():
    images, finals = DIGITS, []
    state = torch.get_rng_state()
    for _ in range(2):
        model = growth.net(64, 10)
        fit(model, torch.optim.SGD(model.parameters(), lr=0.1), images, 3, {})
        finals.append(torch.nn.utils.parameters_to_vector(model.parameters()))
    assert torch.equal(*finals)
    assert torch.equal(state, torch.get_rng_state())


def test_long_has_a_row_per_layer_and_null_as_nan():
    rows = [{"epoch": 1, "layers": ["a", "b"], "values": {"q": [0.5, None], "Q": 1.0}}]
    table = long(rows)
    assert table.layer.tolist() == ["a", "b"]
    assert np.isnan(table.q[1])
    assert "Q" not in table


def test_correlations_of_a_monotone_curve():
    x = pd.Series([1.0, 2, 3, 4, 5, 6])
    assert "rank 1.00 [1.00, 1.00], n 6" in correlations(x, x**3)


def test_observers_import_two_formulas_of_another_room():
    for path in Path(probes.__file__).parent.rglob("*.py"):
        if "analyses" in path.parts or path.name == "__main__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "optim":
                assert node.module in ("optim.evbmf", "optim.groups"), path  # q and the scaled cosine


def test_a_net_without_structure_has_no_place_in_the_correlation(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(quality, "correlations", lambda x, y: seen.append(x.tolist()) or "")
    table = pd.DataFrame({"net": "a", "optimizer": ["sgd", "adam"], "seed": 0, "Q": [0.5, math.nan]})
    quality.generalisation(tmp_path, table.assign(test_accuracy=90.0, gap=1.0), "")
    assert seen == [[0.5], [0.5]]
    assert len(pd.read_csv(tmp_path / "generalisation.csv")) == 2
    monkeypatch.undo()
    assert quality.correlations(table.Q[:1], table.Q[:1]) == "n 1"


def test_means_are_of_layers_with_structure():
    table = pd.DataFrame({"rank": [0.5, 0.0, 0.25], "code_condition": [1.5, math.nan, 1.25]})
    assert quality.structured(table).code_condition.tolist() == [1.5, 1.25]
