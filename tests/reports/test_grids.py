"""Sweep files as tables, the best of a grid by validation, and the tables beside a table."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from papers import table as tables
from papers.table import Table
from reports import __main__ as cli
from reports import grids, render, supplement
from reports.cells import Filled, Result, fill
from reports.panels import name_of
from reports.runs import Row, Runs, proper
from reports.statistics import summary
from sweep.wanted import wanted
from tests.reports import synthetic
from tests.reports.test_page import drawn

SWEEP = """
overrides: {data: digits, model: resnet20, budget.epochs: 2}
seeds: [0, 1]
grid:
  - {optimizer: sgd, optimizer.lr: [0.05, 0.2]}
  - {optimizer: sing, optimizer.denominator: [softplus, eps]}
"""
RATES = [0.1, 0.2, 0.4]


def grid(validation: dict[float, float]) -> Result:
    """Return two optimizers on a grid of rates with these validation scores; 0.1 is always the best on the test."""
    axes = {"optimizer": ["sgd", "adam"], "optimizer.lr": RATES}
    result = drawn({"sgd": 0.0, "adam": 0.0}, 3, rows={"data": "cifar10", "model": "net"}, columns=axes)

    def scored(row: Row, rate: float) -> Row:
        kept = {"metrics.validation_top1": validation[rate]} if validation else {}
        return row | kept | {"metrics.test_top1": 90 - 10 * rate + 0.1 * row["seed"], "config.optimizer.lr": rate}

    cells = [
        replace(cell, runs=[scored(row, cell.cell.coordinates["optimizer.lr"]) for row in cell.runs])
        for cell in result.cells
    ]
    return replace(result, cells=cells)


def test_a_sweep_file_is_laid_out_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(SWEEP)
    table = grids.load(str(file))
    cells = table.cells()
    assert [cell.column_label for cell in cells] == ["SGD lr=0.05", "SGD lr=0.2", "SING (softplus)", "SING (eps)"]
    assert {cell.row_label for cell in cells} == {"digits resnet20"}
    assert cells[0].overrides == (
        "budget.epochs=2",
        "data=digits",
        "model=resnet20",
        "optimizer=sgd",
        "optimizer.lr=0.05",
    )
    assert (cells[0].metric, cells[0].seeds) == ("test_top1", (0, 1))


def test_a_grid_that_is_no_product_has_no_other_cells(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("grid: [{data: digits, optimizer: sgd}, {data: rde_small, model: vit_tiny_rde, optimizer: adam}]\n")
    labels = [(cell.row_label, cell.column_label) for cell in grids.load(str(file)).cells()]
    assert labels == [("digits", "SGD"), ("rde_small vit_tiny_rde", "Adam")]


SEARCH = """
overrides: {data: digits, model: resnet20}
seeds: [0, 1]
grid: [{optimizer: [sgd, adam], optimizer.weight_decay: [0.0, 0.1]}]
exclude: [{optimizer: adam, optimizer.weight_decay: [0.1, 0.2]}]
search: {kind: sobol, n: 4, seed: 0, space: {optimizer.lr: {log: [0.01, 1.0]}, batch_size: {choice: [32, 64]}}}
"""


def test_a_search_is_laid_out_by_what_it_draws_and_its_runs_are_those_of_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(SEARCH)
    cells = grids.load(str(tmp_path / "mine.yaml")).cells()
    assert len({cell.column_label for cell in cells}) == 12  # three optimizers, of four draws each
    made = {frozenset(run) for cell in cells for run in cell.runs()}
    assert made == {frozenset(words) for words in wanted(str(tmp_path / "mine.yaml")).words}


def test_the_best_draw_is_chosen_by_all_that_was_drawn() -> None:
    table = grid({0.1: 80.0, 0.2: 85.0, 0.4: 86.0})
    table = replace(table, table=replace(table.table, spec=table.table.spec | {"searched": ("optimizer.lr",)}))
    best = grids.best_rates(table)
    assert best is not None
    assert [cell.cell.coordinates["optimizer.lr"] for cell in best.cells] == [0.4, 0.4]
    assert best.table.spec["note"].endswith("SGD lr=0.4 of 3; Adam lr=0.4 of 3.")


def test_an_entry_that_is_a_list_stays_one(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("grid: [{optimizer: adam, optimizer.betas: [[0.9, 0.99], [0.9, 0.999]]}]\n")
    labels = [cell.column_label for cell in grids.load(str(tmp_path / "mine.yaml")).cells()]
    assert labels == ["Adam betas=[0.9,0.99]", "Adam betas=[0.9,0.999]"]


def test_the_command_takes_a_sweep_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text(SWEEP)
    where = ["--store", str(synthetic.STORE), "--out", str(tmp_path)]
    assert cli.main(["tables", str(tmp_path / "mine.yaml"), *where]) == 0
    assert "mine (paper): 4 cells: 4 not run" in capsys.readouterr().out


def test_the_best_rate_is_chosen_by_validation_and_never_by_the_test() -> None:
    best = grids.best_rates(grid({0.1: 80.0, 0.2: 85.0, 0.4: 81.0}))
    assert best is not None
    assert [cell.cell.coordinates["optimizer.lr"] for cell in best.cells] == [0.2, 0.2]
    assert [cell.cell.column_label for cell in best.cells] == ["SGD", "Adam"]
    assert "SGD 0.2 of 3; Adam 0.2 of 3." in best.table.spec["note"]
    assert grids.best_rates(grid({})) is None


def test_a_winner_at_the_edge_of_its_grid_is_marked() -> None:
    best = grids.best_rates(grid({0.1: 80.0, 0.2: 85.0, 0.4: 86.0}))
    assert best is not None
    assert "SGD 0.4 of 3 (at the edge)" in best.table.spec["note"]


def test_the_hyper_parameters_beside_a_table_are_those_of_its_runs() -> None:
    shown = supplement.settings(fill(synthetic.table(), synthetic.runs(), synthetic.identify))
    assert shown.columns == ["lr", "schedule", "seeds"]
    assert shown.entries["cifar10 resnet34 | Adam", "seeds"].main == "2"
    assert shown.entries["cifar10 resnet18 | SGD", "lr"].main == "0.1"
    assert not [row for row in shown.rows if row == "cifar10 resnet34 | SAM"]  # it has no runs


def test_every_two_optimizers_of_a_task_are_compared() -> None:
    result = fill(synthetic.table(), synthetic.runs(), synthetic.identify)
    shown = supplement.pairwise(result)
    assert len(shown.rows) == 6  # of four; on the other net one optimizer is complete and has not diverged
    values = {cell.cell.coordinates["optimizer"]: cell.values for cell in result.cells[:4]}
    p = [stats.ttest_ind(values[a], values[b], equal_var=False).pvalue for a, b in combinations(values, 2)]
    found = [float(shown.entries[row, "p (Holm)"].main) for row in shown.rows]
    assert found == pytest.approx(multipletests(p, method="holm")[1], rel=0.05)  # two digits
    row = "cifar10 resnet18 Adam / RMSGD"
    assert shown.entries[row, "verdict"].main == "RMSGD better"
    pooled = ((stats.tvar(values["adam"]) + stats.tvar(values["rmsgd"])) / 2) ** 0.5
    mean = sum(values["adam"]) / 3 - sum(values["rmsgd"]) / 3
    assert float(shown.entries[row, "effect size (g)"].main) == pytest.approx(mean / pooled * (1 - 3 / 15), abs=0.01)
    assert "would need" in shown.entries["cifar10 resnet18 SAM / RMSGD", "verdict"].main


def test_pairs_of_two_tasks_of_one_net_are_two() -> None:
    spec = {"title": "t", "metric": "test_top1", "seeds": [0, 1]}
    rows = {"data": ["cifar10"], "model": ["net0"], "batch_size": [64, 128]}
    made = Table("t", tables.DEFAULTS | spec | {"rows": rows, "columns": {"optimizer": ["sgd", "adam"]}})
    values = [90.0, 91.0]
    filled = [Filled(cell, [{"state": "done"}] * 2, values, None, summary(values)) for cell in made.cells()]
    shown = supplement.pairwise(Result(made, "paper", filled))
    assert shown.rows == [f"cifar10 net0 batch_size {size} SGD / Adam" for size in (64, 128)]


def test_a_label_of_the_table_names_an_optimizer_everywhere() -> None:
    made = Table(
        "t", {**synthetic.table().spec, "columns": [{"optimizer": "adam", "label": "as it is"}, {"optimizer": "sgd"}]}
    )
    cells = {cell.label: cell for cell in made.cells()}
    assert set(cells) == {"as it is", ""}
    assert cells["as it is"].column_label == "as it is"
    filled = fill(made, Runs([]), synthetic.identify).cells
    assert {proper(name_of(cell)) for cell in filled} == {"Adam (as it is)", "SGD"}


def test_the_tables_beside_are_written_in_every_printed_format(tmp_path: Path) -> None:
    result = fill(synthetic.table(), synthetic.runs(), synthetic.identify)
    names = {path.name for path in render.write(result, tmp_path, supplement.beside(result))}
    assert {f"synthetic-{kind}{end}" for kind in ("settings", "pairs") for end in render.PRINTED} < names
    assert supplement.beside(fill(synthetic.table(), Runs([]), synthetic.identify)) == []
    assert r"Adam / RMSGD" in (tmp_path / "tables/synthetic-pairs.tex").read_text()
