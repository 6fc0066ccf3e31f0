import math

import pytest

from conf.errors import UsageError
from papers import table as tables
from papers.sweepfile import draws
from sweep.wanted import wanted


def write(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    return str(path)


def test_a_sweep_file_is_a_union_of_products_with_exclusions(tmp_path):
    text = """
    protocol: none
    overrides: {budget.epochs: 2}
    seeds: [0, 1]
    grid:
      - {optimizer: sgd, optimizer.lr: [0.1, 0.2]}
      - {optimizer: [adamw], optimizer.lr: 1.0e-3}
    exclude: [{optimizer: sgd, optimizer.lr: 0.2}]
    """
    assert wanted(write(tmp_path, text)).words == tuple(
        ("protocol=none", "budget.epochs=2", f"optimizer={name}", f"optimizer.lr={lr}", f"seed={seed}")
        for name, lr, seed in (("sgd", 0.1, 0), ("sgd", 0.1, 1), ("adamw", 0.001, 0), ("adamw", 0.001, 1))
    )


def test_a_number_excludes_its_other_spellings(tmp_path):
    text = "grid: [{optimizer: sgd, optimizer.lr: [1e-3, 1E-2, .1]}]\nexclude: {optimizer.lr: [0.001, 0.01]}"
    assert wanted(write(tmp_path, text)).words == (("optimizer=sgd", "optimizer.lr=0.1", "seed=0"),)


def test_a_search_may_have_bounds_without_a_point(tmp_path):
    assert len(wanted(write(tmp_path, "search: {n: 3, space: {optimizer.lr: {log: [1e-4, 1e-1]}}}")).words) == 3


def test_smoke_cuts_and_labels(tmp_path):
    text = "seeds: [0, 1, 2]\ngrid: [{optimizer: [sgd, adam, adamw]}]"
    words = wanted(write(tmp_path, text), "smoke").words
    assert len(words) == 4
    assert all("scale=smoke" in line for line in words)


def test_a_search_meets_every_optimizer_with_the_same_draws(tmp_path):
    text = """
    grid: [{optimizer: [sgd, adamw]}]
    search: {kind: random, n: 3, space: {optimizer.lr: {log: [1.0e-4, 1.0]}}}
    """
    words = wanted(write(tmp_path, text)).words
    rates = [[line[1] for line in words if line[0] == f"optimizer={name}"] for name in ("sgd", "adamw")]
    assert rates[0] == rates[1]
    assert len(set(rates[0])) == 3


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_draws_repeat_and_stay_inside(kind):
    space = {"a": {"log": [1e-4, 1.0]}, "b": {"uniform": [-1, 1]}, "c": {"choice": ["x", "y"]}}
    search = {"kind": kind, "n": 20, "seed": 3, "space": space}
    drawn = draws(search)
    assert drawn == draws(search)
    assert drawn != draws(search | {"seed": 4})
    assert all(1e-4 <= row["a"] <= 1 and -1 <= row["b"] <= 1 for row in drawn)
    assert {row["c"] for row in drawn} == {"x", "y"}
    logs = [math.log10(row["a"]) for row in drawn]
    assert min(logs) < -3
    assert max(logs) > -1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grid: []\nseeds: []", "seeds: .* is not a list of 1 or more"),
        ("grid: [{optimizer: []}]", "no runs"),
        ("grid: {}", "no runs"),
        ("grid: [{optimizer: sgd, seed: 3}]", "grid: seed: 3; the seeds of a file are `seeds"),
        ("grid: [{optimizer: sgd}]\noverrides: {seed: 3}", "overrides: seed: 3; the seeds"),
        ("grid: [{optimizer: sgd}]\noverrides: {data: {train: 5}}", "data: .* is no option"),
        ("search: {kind: [random], n: 3, space: {a: {log: [1, 2]}}}", "search.kind: unknown .'random'"),
        ("search: {n: 3, space: {a: {choice: []}}}", "choice: ..; allowed: a list of values"),
        ("search: {n: 3, space: {seed: {choice: [1]}}}", "space: seed"),
        ("grid: [{a: 1}]\nsearch: {n: 3, space: {a: {log: [1, 2]}}}", "space: a: is in the grid, too"),
        ("gird: [{optimizer: sgd}]\ngrid: []", "'gird'"),
        ("grid: [{optimizer: [sgd, sgd]}]", "same run twice"),
        ("grid: [{optimizer: sgd}]\nexclude: [{optimizer: adam}]", "excludes nothing"),
        ("grid: [sgd]", "not a mapping"),
        ("grid: [{optimizer: sgd}]\nseeds: 3", "seeds"),
        ("grid: [}", "file.yaml: line 1 is not YAML"),
        ("- 1", "file.yaml: .* is not a mapping"),
        ("grid: !mine []", "file.yaml: line 1 is not YAML: .*!mine"),
        ("grid: sgd", "file.grid: 'sgd' is not a mapping"),
        ("grid: [{optimizer: sgd}]\nexclude: [sgd]", "file.exclude: 'sgd' is not a mapping"),
        ("grid: [{optimizer: sgd}]\noverrides: [budget.epochs=4]", "file.overrides: .* is not a mapping"),
        ("search: 3", "file.search: 3 is not a mapping"),
        ("grid: [{optimizer: sgd}]\nseeds: [true]", "seeds"),
        ("search: {kind: tpe, n: 3, space: {a: {log: [1, 2]}}}", "nearest: random|allowed: random"),
        ("search: {n: 3, space: {a: {lgo: [1, 2]}}}", "nearest: log"),
        ("search: {n: 3, space: {a: {log: [0, 2]}}}", "low > 0"),
        ("search: {n: 3, space: {a: {uniform: [2, 1]}}}", "low, high"),
        ("search: {n: 0, space: {a: {log: [1, 2]}}}", "search.n: 0 is out of range"),
        ("search: {n: 1, spaces: {}}", "nearest: space"),
    ],
)
def test_mistakes_are_one_line(tmp_path, text, words):
    with pytest.raises(UsageError, match=words) as raised:
        wanted(write(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_a_misspelt_table_names_the_nearest():
    with pytest.raises(UsageError, match="nearest: rmsgd_1a"):
        wanted("rmsgd_1aa")
    with pytest.raises(UsageError, match="scale"):
        wanted("rmsgd_1a", "tiny")


def test_a_table_gives_the_runs_of_its_cells():
    asked = wanted("rmsgd_1a")
    cells = tables.load("rmsgd_1a").cells()
    assert len(asked.words) == sum(len(cell.seeds) for cell in cells) == len(set(asked.words))
