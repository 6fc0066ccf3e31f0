"""Table files: expansion, look-up of published numbers, and the words of mistakes."""

from pathlib import Path

import pytest
import yaml

from conf.errors import UsageError
from papers import table as tables
from papers.published import find, numbers

SPEC = {
    "title": "A made-up table",
    "rows": {"data": ["cifar10", "cifar100"], "model": ["resnet18", "resnet34"]},
    "columns": {"optimizer": ["sgd", "adam", "sing"]},
    "metric": "test_top1",
    "protocol": "p",
    "tuned": "t",
}


def table(tmp_path: Path, **changes: object) -> tables.Table:
    path = tmp_path / "invented.yaml"
    path.write_text(yaml.safe_dump(SPEC | changes, sort_keys=False))
    return tables.load(path)


def test_rows_times_columns_in_order_of_layout(tmp_path: Path) -> None:
    cells = table(tmp_path).cells()
    assert len(cells) == 12
    assert [cell.row_label for cell in cells[::3]] == [
        "cifar10 resnet18", "cifar10 resnet34", "cifar100 resnet18", "cifar100 resnet34",
    ]  # fmt: skip
    assert cells[1].overrides == ("protocol=p", "tuned=t", "data=cifar10", "model=resnet18", "optimizer=adam")
    assert cells[1].runs()[4][-1] == "seed=4"


def test_a_list_of_blocks_is_the_union_of_their_products_less_the_excluded(tmp_path: Path) -> None:
    columns = [
        {"optimizer": "sgd"},
        {"optimizer": "sing", "optimizer.denominator": ["softplus", "eps"], "optimizer.betas": [[0.9, 0.99]]},
        {"optimizer": "adam", "protocol": "q", "seeds": [0, 1]},
    ]
    cells = table(tmp_path, columns=columns, exclude=[{"optimizer": "adam", "data": "cifar10"}]).cells()
    assert len(cells) == 4 * 4 - 2
    assert cells[1].overrides[-3:] == ("optimizer=sing", "optimizer.denominator=softplus", "optimizer.betas=[0.9,0.99]")
    assert cells[1].column_label == "SING (softplus) betas=[0.9,0.99]"
    adam = cells[-1]
    assert (adam.seeds, "protocol=q" in adam.overrides, "protocol=p" in adam.overrides) == ((0, 1), True, False)


def test_a_list_excludes_each_of_its_values(tmp_path: Path) -> None:
    cells = table(tmp_path, exclude=[{"optimizer": ["sgd", "adam"], "data": "cifar10"}]).cells()
    assert [cell.coordinates["optimizer"] for cell in cells if cell.coordinates["data"] == "cifar10"] == ["sing"] * 2


def test_one_run_may_be_shown_in_two_cells(tmp_path: Path) -> None:
    cells = table(tmp_path, columns={"optimizer": ["sgd"], "metric": ["test_top1", "test_top5"]}).cells()
    assert cells[0].overrides == cells[1].overrides
    assert [cell.metric for cell in cells[:2]] == ["test_top1", "test_top5"]


def test_cells_compete_along_the_axis_of_the_optimizer(tmp_path: Path) -> None:
    columns = {"data": ["cifar10", "cifar100"], "optimizer": ["sgd", "adam"]}
    cells = table(tmp_path, rows={"model": ["resnet18", "resnet34"]}, columns=columns).cells()
    assert [len({cell.task for cell in cells[:n]}) for n in (2, 4, 8)] == [1, 2, 4]
    upright = table(tmp_path, rows=SPEC["columns"], columns=SPEC["rows"]).cells()
    assert len({cell.task for cell in upright}) == 4


def test_smoke_keeps_the_ends_of_every_axis_and_two_seeds(tmp_path: Path) -> None:
    cells = table(tmp_path).cells("smoke")
    assert len(cells) == 2 * 2 * 2
    assert {cell.coordinates["optimizer"] for cell in cells} == {"sgd", "sing"}
    assert cells[0].seeds == (0, 1)
    assert cells[0].overrides[-1] == "scale=smoke"
    assert len(table(tmp_path).cells("cpu")) == 12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"titel": "x"}, "unknown 'titel'.*nearest: title"),
        ({"title": ""}, "title is missing"),
        ({"rows": {}}, "rows is missing"),
        ({"metric": "test_top2"}, "metric: unknown 'test_top2'.*nearest: test_top"),
        ({"show": "mean"}, "show: unknown 'mean'.*nearest: mean_"),
        ({"seeds": [0, 0]}, "holds a seed twice"),
        ({"seeds": 5}, "seeds: 5 is not a list"),
        ({"exclude": [{}]}, "no cell is left"),
        ({"exclude": ["sgd"]}, "exclude: 'sgd' is not a mapping"),
        ({"rows": ["digits"]}, "rows: 'digits' is not a mapping"),
        ({"columns": 3}, "columns: 3 is not a mapping"),
        ({"overrides": ["budget.epochs=4"]}, "overrides: .* is not a mapping"),
        ({"published": "rmsgd"}, "published: 'rmsgd' is not a mapping"),
        ({"columns": {"optimizer": "sgd", "published": 3}}, "published: 3 is not a mapping"),
        ({"exclude": [{"optimizer": "admm"}]}, "exclude: optimizer=admm excludes nothing"),
        ({"exclude": [{"optimzer": "adam"}]}, "exclude: optimzer=adam excludes nothing"),
        ({"columns": {"optimizer": ["sgd"], "seed": [0, 1]}}, "columns: seed: .0, 1.; the seeds of a file"),
        ({"overrides": {"seed": 3}}, "overrides: seed: 3; the seeds of a file"),
        ({"overrides": {"optimizer": {"lr": 0.1}}}, "optimizer: .* is no option; .* optimizer.<key>: value"),
        ({"columns": {"optimizer": ["sgd"], "metric": [["test_top1"]]}}, "metric: unknown"),
        ({"columns": {"optimizer": "sgd", "seeds": ["x"]}}, "seeds.0.: 'x' is not a whole number"),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        table(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_an_unknown_table_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"table: unknown 'rmsgd_33'.*nearest: rmsgd_3"):
        tables.load("rmsgd_33")
    with pytest.raises(UsageError, match=r"scale: unknown 'cpuu'.*nearest: cpu"):
        table(tmp_path).cells("cpuu")
    (tmp_path / "broken.yaml").write_text("title: [")
    with pytest.raises(UsageError, match=r"broken\.yaml: line 1 is not YAML"):
        tables.load(tmp_path / "broken.yaml")
    with pytest.raises(UsageError, match=r"none\.yaml: no such file"):
        tables.load(tmp_path / "none.yaml")


def test_the_file_of_published_numbers_is_whole() -> None:
    assert len(numbers()) == 605
    assert numbers()[0].line == 2
    assert (numbers()[0].mean, numbers()[0].std, numbers()[0].n) == (93.34, 0.10, 5)


def test_a_setting_tells_numbers_apart_and_a_tie_is_refused() -> None:
    key = {
        "paper": "rmsgd",
        "table": "2",
        "dataset": "imagenet",
        "model": "mobilenetv2_imagenet",
        "metric": "test_top1",
    }
    late = find("x", key | {"optimizer": "sgd", "setting": "epoch 250"})
    assert late is not None
    assert late.mean == 62.16
    with pytest.raises(UsageError, match="x: published: 2 numbers fit"):
        find("x", key | {"optimizer": "sgd"})
    assert find("x", key | {"optimizer": "adabound"}) is None


@pytest.mark.parametrize("name", ["adamsrt_2", "adamsrt_5"])
def test_svhn_is_validation_accuracy_as_captioned(name: str) -> None:
    cells = tables.load(name).cells()
    assert {(c.coordinates["data"] == "svhn", c.metric) for c in cells} == {
        (True, "validation_top1"),
        (False, "test_top1"),
    }


@pytest.mark.parametrize("name", tables.names())
def test_every_table_of_the_suite_expands_at_every_scale(name: str) -> None:
    table = tables.load(name)
    for scale in tables.SCALES:
        cells = table.cells(scale)
        assert len({(c.row_label, c.column_label) for c in cells}) == len(cells)
        if table.has_runs and scale == "paper":
            assert len({(c.overrides, c.metric) for c in cells}) == len(cells)
    found = [table.published(cell) for cell in table.cells() if table.has_runs]
    lines = [number.line for number in found if number is not None]
    assert len(lines) == len(set(lines))


# The numbers of a paper's table that its file shows: all that the source gives.
COUNTS = {
    "rmsgd_1a": 100, "rmsgd_1b": 72, "rmsgd_2": 12, "rmsgd_3": 8, "rmsgd_4": 36, "rmsgd_6": 18, "rmsgd_7": 90,
    "rmsgd_8": 72, "adamsrt_2": 46, "adamsrt_5": 16, "sing_s1": 18, "sing_s2": 11, "sing_s4": 3, "adamp_2": 5,
    "adamp_2_preprint": 16, "adamp_wd": 8,
}  # fmt: skip


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_every_published_number_of_a_table_has_its_cell(name: str, count: int) -> None:
    table = tables.load(name)
    source = table.spec["published"]
    known = {n.line for n in numbers() if (n.paper, n.table) == (source["paper"], source["table"])}
    shown = {number.line for cell in table.cells() if (number := table.published(cell))}
    assert len(known) == count
    assert shown == known
