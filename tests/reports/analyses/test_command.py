"""The analyses' own parts: command, checks, the loop, and what they find on small cases."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from conf.errors import UsageError
from conf.groups import raw
from reports import __main__ as reports
from reports import style
from reports.analyses import adamp, adamsrt, rmsgd, rosenbrock, sing, toys
from reports.analyses.command import ANALYSES, Check, Scale, main
from reports.analyses.training import fit, load, long

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
    with style.figure() as (made, ((axis,),)):
        axis.plot([1, 2])
        style.save(made, tmp_path / "new" / "name", pd.DataFrame({"x": [1.0]}), "calibrated")
        assert made.get_supxlabel() == "calibrated"
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"name.png", "name.pdf", "name.svg", "name.csv"}


def test_an_optimizer_looks_as_in_the_tables_figures():
    looks = {method.label: method.look() for method in [*toys.METHODS, *adamsrt.METHODS, *rosenbrock.methods(0.1)]}
    for label, name in (("SGDP 0.9", "sgdp"), ("Adam-SRT", "adamsrt"), ("AdamG*", "adamg_star"), ("SING", "sing")):
        assert looks[label]["color"] == style.look(name)["color"]
    lines = [(look["color"], look["linestyle"]) for look in (method.look() for method in toys.MOVED)]
    assert len(set(lines)) == len(lines)


def test_command_exits_with_2_where_a_number_is_missed(tmp_path, monkeypatch, capsys):
    assert {"toy2d", "rosenbrock3d"} <= set(ANALYSES)
    monkeypatch.setattr("reports.analyses.toys.toy2d", lambda out, scale: [Check("norm", 2.93, 3.5)])
    assert main(["toy2d", "--out", str(tmp_path)]) == 2
    assert "DIFFERS" in capsys.readouterr().out
    assert main(["toy2d", "--out", str(tmp_path), "--scale", "smoke"]) == 0
    monkeypatch.setattr("reports.analyses.toys.toy2d", lambda out, scale: [Check("norm", 2.93, 2.93)])
    assert main(["toy2d", "--out", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["toy3d"], "analyse: unknown 'toy3d'.*nearest: toy2d"),
        (["toy2d", "--scale", "papers"], "--scale: unknown 'papers'; allowed: cpu, paper, smoke; nearest: paper"),
        (["toy2d", "--data", "fashion"], "--data: unknown 'fashion'.*nearest: fashion_mnist"),
        (["toy2d", "--out"], "expected one argument"),
    ],
)
def test_mistakes_are_one_line(words, said):
    with pytest.raises(UsageError, match=said) as raised:
        main(words)
    assert "\n" not in str(raised.value)


def test_python_m_reports_analyse_and_its_old_name(tmp_path):
    assert reports.main(["analyse", "rde_sheet", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "rde_sheet.png").exists()
    old = subprocess.run([sys.executable, "-m", "probes", "toy3d"], capture_output=True, text=True, check=False)
    first, second = old.stderr.splitlines()
    assert "python -m reports analyse" in first
    assert "unknown 'toy3d'" in second
    assert old.returncode == 1


def test_data_in_the_place_of_the_scales_own():
    assert Scale("cpu").dataset(adamsrt.SETS)["name"] == "fashion_mnist"
    assert Scale("cpu", "digits").dataset(adamsrt.SETS)["name"] == "digits"
    assert Scale("cpu", "svhn").words(adamp.NORMS_SETS, adamp.WORDS)[0] == "data=svhn"


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_corollary_2_3(beta):
    rows = adamp.measured(DIGITS, beta, 250)
    assert rows.ratio.tolist() == pytest.approx([1 + 2 * beta / (1 - beta)] * 2, rel=0.02)


@pytest.mark.parametrize("depth", [1, 9])
def test_theorem_3_1_is_met_with_equality(depth):
    rows = sing.escapes(depth)
    assert rows.rate.tolist() == pytest.approx(rows.bound.tolist(), rel=1e-6)


def test_theorem_4_paths_meet_faster_than_second_order():
    gaps = [rosenbrock.angle(*rosenbrock.pair(rate)).max() for rate in (0.008, 0.004)]
    assert 0 < gaps[1] < gaps[0] / 4


def test_loop_is_repeatable_and_leaves_the_global_stream_alone():
    images, finals = DIGITS, []
    state = torch.get_rng_state()
    for _ in range(2):
        model = adamp.float64_net(64, 10)
        fit(model, torch.optim.SGD(model.parameters(), lr=0.1), images, 3, {})
        finals.append(torch.nn.utils.parameters_to_vector(model.parameters()))
    assert torch.equal(*finals)
    assert torch.equal(state, torch.get_rng_state())


def test_long_has_a_row_per_layer_and_null_as_nan():
    rows = [{"probe": "ranks", "epoch": 1, "layers": ["a", "b"], "values": {"q": [0.5, None], "Q": 1.0}}]
    table = long([*rows, {"kind": "epoch"}], "ranks")
    assert table.layer.tolist() == ["a", "b"]
    assert np.isnan(table.q[1])
    assert "Q" not in table


def test_correlations_of_a_monotone_curve():
    x = pd.Series([1.0, 2, 3, 4, 5, 6])
    assert "rank 1.00 [1.00, 1.00], n 6" in rmsgd.correlations(x, x**3)


def test_a_net_without_structure_has_no_place_in_the_correlation(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(rmsgd, "correlations", lambda x, y: seen.append(x.tolist()) or "")
    table = pd.DataFrame({"net": "a", "optimizer": ["sgd", "adam"], "seed": 0, "Q": [0.5, math.nan]})
    rmsgd.generalisation(tmp_path, table.assign(test_accuracy=90.0, gap=1.0), "")
    assert seen == [[0.5], [0.5]]
    assert len(pd.read_csv(tmp_path / "generalisation.csv")) == 2
    monkeypatch.undo()
    assert rmsgd.correlations(table.Q[:1], table.Q[:1]) == "n 1"


def test_means_are_of_layers_with_structure():
    table = pd.DataFrame({"rank": [0.5, 0.0, 0.25], "code_condition": [1.5, math.nan, 1.25]})
    assert rmsgd.structured(table).code_condition.tolist() == [1.5, 1.25]
