"""Labels, notes and titles that a format, a spreadsheet or a figure could take for something else."""

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conf.errors import UsageError
from papers import table as tables
from papers.table import Table
from reports import figures, page, render
from reports.cells import Result, fill
from reports.layout import grid
from reports.published import _verdict
from reports.runs import Runs
from tests.reports import synthetic
from tests.reports.test_page import drawn

FORMULAS = ("=1+1", "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "＝1+1", "-1 =x", "-1e", "--1")
NUMBERS = ("-1", "+0.5", "-1e-3", "1e5", "-.5", "0")


def labelled(row: str, column: str = "sgd", **changes: Any) -> Result:
    spec = {"title": "t", "rows": [{"data": "cifar10", "model": "resnet18", "label": row}], "metric": "test_top1"}
    spec |= {"columns": [{"optimizer": "sgd", "label": column}], "protocol": "synthetic", "seeds": [0, 1, 2]} | changes
    return fill(Table("labelled", tables.DEFAULTS | spec), synthetic.runs(), synthetic.identify)


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("label", ["[0.9, 0.999]", "[", "*", "[1ex]", "-- x", "a\n\nb", "| `x`", "lr --- 1"])
def test_no_label_is_read_as_latex(label: str) -> None:
    lines = render.latex(grid(labelled(label, label))).splitlines()
    body = "\n".join(lines[lines.index(r"\toprule") :])
    assert not re.search(r"(\\\\|rule)\s*[\[*]", body)  # an optional length, or a star, after the end of a row
    assert not re.search(r"--|[|`](?!\{\})|\n\s*\n", body.replace(r"\`{}", ""))
    assert body.count(r"\\") == 2


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("# no heading", r"\# no heading"),
        ("1. no list", r"1\. no list"),
        ("- no list", r"\- no list"),
        ("+ no list", r"\+ no list"),
        ("---", r"\---"),
        ("$x$ ~~y~~", r"\$x\$ \~\~y\~\~"),
        ("a\n\n| b", r"a \| b"),
        ("<b> &copy; [x](y)", r"&lt;b&gt; &amp;copy; \[x\](y)"),
        ("2 of 8", "2 of 8"),
    ],
)
def test_no_note_is_read_as_markdown(text: str, written: str) -> None:
    assert f"\n- {written}\n" in render.markdown(grid(labelled("x", note=text)))


@pytest.mark.parametrize("text", FORMULAS)
def test_no_label_and_no_note_is_read_as_a_formula(text: str) -> None:
    result = labelled(text, text)
    noted = replace(result, cells=[replace(cell, notes={text: "x"}, reason=text) for cell in result.cells])
    for written in (render.rounded_csv(grid(noted)), render.raw_csv(noted)):
        cells = [cell for row in rows(written) for cell in row]
        assert f"'{text}" in cells
        assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t＝") and not render._NUMERAL.fullmatch(cell)]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_stays_one(number: str) -> None:
    result = labelled(number, number)
    assert rows(render.rounded_csv(grid(result)))[0][2] == number
    assert rows(render.raw_csv(result))[1][0] == number
    (line,) = rows(render.raw_csv(labelled("x", published={"paper": "rmsgd", "table": "1a"})))[1:]
    assert float(line[rows(render.raw_csv(result))[0].index("difference")]) < 0


def test_a_column_may_be_called_as_one_of_ours_is() -> None:
    assert rows(render.rounded_csv(grid(labelled("x", "row"))))[:2] == [
        ["row", "what", "row"],
        ["x", "ours", "95.20 ± 0.12"],
    ]


def test_two_rows_of_one_name_are_refused() -> None:
    """One would hide the other."""
    names = [{"data": "cifar10", "model": model, "label": "x"} for model in ("resnet18", "resnet34")]
    with pytest.raises(UsageError, match=r"table labelled: 2 cells are called x \| sgd"):
        labelled("x", rows=names)


def test_no_negative_zero_is_written() -> None:
    assert render.csv_of([{"a": -0.0, "b": -0.5}]) == "a,b\n0,-0.5\n"


@pytest.fixture(scope="module")
def alone() -> Result:
    """A table of two nets with one optimizer: its groups have one cell each."""
    return drawn({"sgd": 95.0}, seeds=2, rows={"data": "cifar10", "model": ["net0", "net1"]})


def test_groups_of_one_cell_have_figures_and_a_page(
    alone: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_groups = ("ranks", "profile", "sensitivity", "tuning", "heat")
    for known in ("FIGURES", "MAIN"):
        monkeypatch.setattr(figures, known, {key: figures.FIGURES[key] for key in of_groups})
    assert figures.draw(alone, tmp_path) == []
    assert page.write([alone], Runs([]), tmp_path / "page").exists()


def test_every_sign_of_a_leaderboard_is_one_that_latex_knows() -> None:
    assert render.tex("≥ 1.20").isascii()


def test_a_number_is_as_printed_to_its_last_digit() -> None:
    found = {pair: _verdict(*pair, "") for pair in (("1e-8", "1e-16"), ("0.000008", "7.8125e-06"), ("0.1", "0.12"))}
    assert list(found.values()) == ["differs from the paper", "as printed", "differs from the paper"]
