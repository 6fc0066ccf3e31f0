"""Cells, verdicts and formats, on the synthetic store of tests/reports/synthetic.py."""

import csv
import io
import json
import random
import shutil
import subprocess
from math import isnan
from pathlib import Path

import pytest

from conf.errors import UsageError
from papers import table as tables
from reports import __main__ as cli
from reports import cells, compare, experiments, explain, published, render
from reports.analyses.command import ANALYSES
from reports.cells import Filled, fill
from reports.layout import grid
from reports.runs import Runs, read, value
from tests.reports import synthetic


@pytest.fixture(scope="module")
def runs() -> Runs:
    return synthetic.runs()


@pytest.fixture(scope="module")
def result(runs: Runs) -> cells.Result:
    return fill(synthetic.table(), runs, synthetic.identify)


def cell(result: cells.Result, *words: str) -> Filled:
    return explain.find_cell(result, list(words))


def test_every_format_is_the_committed_one_byte_for_byte(result: cells.Result, tmp_path: Path) -> None:
    written = render.write(result, tmp_path)
    assert {p.name: p.read_text() for p in written} == {p.name: p.read_text() for p in synthetic.GOLDEN.iterdir()}


def test_the_committed_store_is_what_its_script_makes(tmp_path: Path) -> None:
    synthetic.write_store(tmp_path)
    files = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {p.relative_to(synthetic.STORE): p.read_bytes() for p in synthetic.STORE.rglob("*") if p.is_file()}


def test_each_bad_run_is_one_line_and_the_rest_renders(runs: Runs) -> None:
    assert len(runs.complaints) == 4
    for words in ("not a run", "cannot be read", "schema 99", "half copied"):
        assert sum(words in line for line in runs.complaints) == 1
    assert all("\n" not in line for line in runs.complaints)


def test_a_copied_run_counts_once_and_is_one_line(tmp_path: Path) -> None:
    content = synthetic.result(("data=cifar10", "model=resnet18", "optimizer=sgd"), 0, random.Random(0))
    folder = synthetic.write_run(tmp_path, content)
    shutil.copytree(folder, tmp_path / "cifar10" / "resnet18" / "sgd (copy)" / folder.name)
    found = read(tmp_path)
    assert len(found.rows) == 1
    assert len(found.complaints) == 1
    assert "not its folder's place in a store" in found.complaints[0]


def test_verdicts(result: cells.Result) -> None:
    assert cell(result, "resnet18", "adam").verdict == "agrees"
    assert cell(result, "resnet18", "sam").verdict == "differs"
    assert cell(result, "resnet34", "adam").verdict_text == "too few seeds (2 of 3)"
    assert cell(result, "resnet34", "sam").verdict == "not run"
    assert cell(result, "resnet34", "sgd").verdict_text == "diverged 1 of 3"
    assert result.count()["not run"] == 1


def test_a_diverged_language_model_guesses_every_word_alike() -> None:
    assert value({"state": "diverged", "config.data.num_classes": 10_000}, "test_perplexity") == 10_000


def test_a_diverged_seed_counts_at_chance_and_is_never_dropped(result: cells.Result) -> None:
    found = cell(result, "resnet34", "sgd")
    assert sorted(found.values)[0] == 10.0  # ten classes
    assert found.summary.n == 3
    assert isnan(found.p)


def test_no_mean_hides_a_missing_seed(result: cells.Result) -> None:
    found = cell(result, "resnet34", "adam")
    assert "‡" in render.rounded_csv(grid(result)).splitlines()[4].split(",")[2]
    assert found.highlight == ""
    assert not found.complete


def test_another_scale_is_labelled_and_never_compared(runs: Runs) -> None:
    small = [row | {"labels.scale": "smoke"} for row in runs.rows]

    def at_scale(cells: list) -> tuple[dict, dict]:
        stripped = {c.overrides: tuple(word for word in c.overrides if word != "scale=smoke") for c in cells}
        ids = {
            words: synthetic.identify([c])[0][c.overrides] for c, words in zip(cells, stripped.values(), strict=True)
        }
        return {c.overrides: ids[stripped[c.overrides]] for c in cells}, {}

    result = fill(synthetic.table(), Runs(small), at_scale, "smoke")
    assert {c.verdict for c in result.cells} <= {"other scale", "not run", "too few seeds", "diverged"}
    assert all(isnan(c.p) for c in result.cells)
    for ending in (".md", ".tex", ".html"):
        assert "Scale smoke" in render.PRINTED[ending](grid(result))
    assert all(row["scale"] == "smoke" for row in csv.DictReader(io.StringIO(render.raw_csv(result))))


def test_runs_without_the_metric_are_not_taken_for_too_few(runs: Runs) -> None:
    spec = synthetic.table().spec | {"metric": "test_auc"}
    result = fill(tables.Table("x", spec), runs, synthetic.identify)
    assert cell(result, "resnet18", "sgd").verdict == "no such metric"


def test_synthetic_data_and_recreations_are_not_compared(runs: Runs) -> None:
    generated = Runs([row | {"config.data.stand_in": 64} for row in runs.rows])
    result = fill(synthetic.table(), generated, synthetic.identify)
    assert cell(result, "resnet18", "sgd").verdict == "other scale"
    assert "Synthetic data" in render.markdown(grid(result))
    spec = synthetic.table().spec | {"recreation": "not the original"}
    assert cell(fill(tables.Table("x", spec), runs, synthetic.identify), "resnet18", "sgd").verdict == "re-creation"


def test_lower_is_better_where_the_metric_says_so(runs: Runs) -> None:
    spec = synthetic.table().spec | {"metric": "test_loss", "published": {}}
    result = fill(tables.Table("x", spec), runs, synthetic.identify)
    best = [c for c in result.cells if c.highlight == "best"]
    group = [c.summary.mean for c in result.cells if c.cell.row_label == "cifar10 resnet18"]
    assert best[0].summary.mean == min(group)
    assert isnan(cell(result, "resnet34", "sgd").summary.mean)  # a diverged run has no loss, and no mean without it


def test_the_papers_unit_is_ours_times_its_factor(runs: Runs) -> None:
    from reports.runs import value

    assert value({"state": "done", "metrics.test_mse": 0.00034}, "test_mse_e-3") == pytest.approx(0.34)


def test_names_are_escaped_in_every_format() -> None:
    spec = synthetic.table().spec | {
        "rows": {"data": "cifar10", "model": ["<script>alert(1)</script>", r"a_b & \input{x} | `c`"]}
    }
    result = fill(tables.Table("x", spec), Runs([]), lambda cells: ({}, {}))
    assert "<script>" not in render.html_table(grid(result))
    assert "<script>" not in render.markdown(grid(result))
    assert r"a\_b \& \textbackslash{}input\{x\} \textbar{} \`{}c\`{}" in render.latex(grid(result))
    row = next(line for line in render.markdown(grid(result)).splitlines() if "input" in line)
    assert row.count("|") - row.count(r"\|") == 6


@pytest.mark.extras
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(result: cells.Result, tmp_path: Path) -> None:
    head = r"\documentclass{article}\usepackage[utf8]{inputenc}\usepackage{booktabs}\usepackage[table]{xcolor}"
    source = tmp_path / "all.tex"
    source.write_text(head + "\\begin{document}\n" + render.latex(grid(result)) + "\\end{document}\n")
    for _ in range(2):  # the second run reads the labels of the first
        subprocess.run(
            ["pdflatex", "-halt-on-error", source.name], cwd=tmp_path, check=True, capture_output=True, timeout=60
        )


def test_every_output_is_the_same_whatever_the_order_of_runs(runs: Runs, tmp_path: Path) -> None:
    shuffled = random.Random(1).sample(runs.rows, len(runs.rows))
    for path in render.write(fill(synthetic.table(), Runs(shuffled), synthetic.identify), tmp_path):
        assert path.read_text() == (synthetic.GOLDEN / path.name).read_text()


def test_sidecar_names_every_run(result: cells.Result, runs: Runs) -> None:
    content = json.loads(render.provenance(result))
    assert {run["id"] for c in content["cells"] for run in c["runs"]} == {row["id"] for row in runs.rows}
    assert content["cells"][0]["commits"] == ["0123456789"]


def test_explain_gives_runs_commits_and_one_command(result: cells.Result) -> None:
    text = explain.explain(result, ["resnet18", "sgd"])
    assert text.count("commit 0123456789") == 3
    assert "python train.py -m protocol=synthetic data=cifar10 model=resnet18 optimizer=sgd seed=0,1,2" in text
    assert "standard errors, p 0." in text
    with pytest.raises(UsageError, match=r"unknown 'sgdd'.*nearest: sgd"):
        explain.explain(result, ["resnet18", "sgdd"])
    with pytest.raises(UsageError, match="2 cells are named sgd"):
        explain.explain(result, ["sgd"])


def test_compare_finds_runs_pairs_seeds_and_names_what_a_test_needs(runs: Runs) -> None:
    text = compare.compare(runs, "rmsgd", "adam")
    assert text.startswith("RMSGD against Adam: 2 shared tasks\n")
    assert "(paired, n 3): RMSGD better" in text
    assert "(Welch, n 3): RMSGD better" in text  # Adam lacks a seed on the second net
    assert "needs at least 6" in text
    assert "inconclusive; one of this size would need" in compare.compare(runs, "rmsgd", "sam")
    assert "1 shared tasks" in compare.compare(runs, "rmsgd", "adam", ["model=resnet34"])
    with pytest.raises(UsageError, match=r"compare: unknown 'sgdd'.*nearest: sgd"):
        compare.compare(runs, "rmsgd", "sgdd")
    with pytest.raises(UsageError, match="compare: no run of rmsgd has data=mnist; those that have: no other either"):
        compare.compare(runs, "rmsgd", "sgd", ["data=mnist"])
    with pytest.raises(UsageError, match=r"--where: unknown 'modle'.*nearest: model"):
        compare.compare(runs, "rmsgd", "sgd", ["modle=resnet34"])


def test_where_reads_a_value_as_train_does(runs: Runs) -> None:
    assert "2 shared tasks" in compare.compare(runs, "rmsgd", "adam", ["optimizer.lr=1e-1"])
    assert "2 shared tasks" in compare.compare(runs, "rmsgd", "adam", ["one_platform=true"])


def test_gains_of_two_metrics_have_no_common_mean(runs: Runs) -> None:
    """The perplexity of a run that diverged is that of guessing, and nothing of its task is dropped."""
    spoken = [
        {key: value for key, value in row.items() if not key.startswith("metrics.")}
        | {"data": "ptb", "config.data.task": "language", "config.data.name": "ptb", "config.data.num_classes": 90}
        | {"group_id": f"{row['optimizer']} ptb", "metrics.test_perplexity": 30.0 + row["seed"]}
        | {"state": "diverged" if row["optimizer"] == "sgd" else "done"}
        for row in runs.rows
        if row["model"] == "resnet18" and row["optimizer"] in ("sgd", "rmsgd")
    ]
    text = compare.compare(Runs([*runs.rows, *spoken]), "rmsgd", "sgd", ["model=resnet18"])
    assert ": 31.00 against 90.00, -59.000" in text
    assert "RMSGD ahead in 2, SGD in 0, equal in 0" in text
    assert "mean gain +0." in text
    assert "(top-1), +59.000 (perplexity)" in text


def test_a_task_whose_diverged_run_has_no_chance_level_is_named(runs: Runs) -> None:
    lost = [row | {"state": "diverged", "config.data.task": "generation"} for row in runs.rows]
    assert "nothing can be said: a run has no test loss" in compare.compare(Runs(lost), "rmsgd", "adam")


def test_compare_never_pairs_two_scales(runs: Runs) -> None:
    small = [row | {"labels.scale": "smoke"} for row in runs.rows]
    mixed = [row for row in small if row["optimizer"] == "sgd"] + [r for r in runs.rows if r["optimizer"] == "rmsgd"]
    assert "0 shared tasks" in compare.compare(Runs(mixed), "rmsgd", "sgd")
    assert "[scale smoke]" in compare.compare(Runs(small), "rmsgd", "sgd", ["scale=smoke"])


def test_compare_takes_the_best_setting_by_validation_images(runs: Runs) -> None:
    sgd = [row | {"metrics.validation_top1": 90.0} for row in runs.rows if row["optimizer"] == "sgd"]
    worse = [
        row | {"metrics.validation_top1": 80.0, "metrics.test_top1": 99.0, "group_id": "x", "config.optimizer.lr": 9.0}
        for row in sgd
    ]
    others = [row for row in runs.rows if row["optimizer"] == "rmsgd"]
    text = compare.compare(Runs([*worse, *sgd, *others]), "sgd", "rmsgd", ["model=resnet18"])
    assert "best of 2 and 1 settings by validation" in text
    assert ": 95.20 against" in text


def test_every_published_number_has_a_cell_or_a_reason() -> None:
    lines = published.coverage([])
    assert len(lines) == 605
    assert not [line for line in lines if experiments.UNEXPLAINED in line["state"]]
    assert sum(bool(line["shown_in"]) for line in lines) == 586


def test_every_experiment_of_the_papers_has_a_command_that_exists_or_a_reason() -> None:
    entries = experiments.listed()["experiments"]
    keys = {"paper", "place", "shows", "printed", "tables", "looked_up", "analyses", "cpu", "scales", "reason"}
    assert all({"paper", "place", "shows"} <= entry.keys() <= keys for entry in entries)
    named = [name for entry in entries for key in ("tables", "looked_up", "cpu") for name in entry.get(key, [])]
    assert set(named) <= set(tables.names())
    assert {name for entry in entries for name in entry.get("analyses", [])} <= set(ANALYSES)
    for entry in entries:
        assert {"tables", "looked_up", "analyses"} & entry.keys() or entry["reason"], entry
    beside = {
        name for name in tables.names() if (spec := tables.load(name).spec)["published"] and not spec["recreation"]
    }
    assert beside - {"sing_s3_tuned"} <= set(named)


def test_every_published_number_belongs_to_one_experiment() -> None:
    lines = published.coverage([])
    found = experiments.by_experiment([], lines)
    counted = [int(part.split()[0]) for line in found for part in line["numbers"].split("; ") if part]
    assert sum(counted) == 605
    assert {line["at paper scale"] for line in found if line["place"] == "Table 1a"} == {"0 of 100"}
    places = {(line["paper"], place) for line in found for place in [line["place"]]}
    assert len(places) == len(found)


def test_every_shipped_table_renders_from_an_empty_store(tmp_path: Path) -> None:
    for table in map(tables.load, tables.names()):
        for path in render.write(fill(table, Runs([]), lambda cells: ({}, {})), tmp_path):
            assert path.stat().st_size > 0


def test_a_real_configuration_finds_its_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from conf.compose import compose
    from record.identity import group_id, run_id, semantic

    config = compose(["data=digits", "optimizer=sgd", "seed=1"])
    kept = semantic(config)
    content = synthetic.result(("data=digits", "model=resnet18", "optimizer=sgd"), 1, random.Random(0))
    synthetic.write_run(tmp_path, content | {"id": run_id(kept), "group_id": group_id(kept), "config": kept})
    table = tmp_path / "small.yaml"
    table.write_text(
        "title: t\nseeds: [1]\nrows: {data: digits}\ncolumns: {optimizer: [sgd, sing]}\nmetric: test_top1\n"
    )
    assert cli.main(["tables", str(table), "--store", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert "small (paper): 2 cells: 1 complete, 1 not run" in capsys.readouterr().out
    raw = list(csv.DictReader(io.StringIO((tmp_path / "out/tables/small.raw.csv").read_text())))
    assert [float(row["mean"]) for row in raw if row["mean"]] == [content["metrics"]["test_top1"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tables", "rmsgd_99"], "table: unknown 'rmsgd_99'"),
        (["explain", "rmsgd_1a"], "explain: name a table and a cell"),
        (["compare", "sgd"], "compare: name two optimizers"),
        (["tabels"], "reports: unknown 'tabels'; .*nearest: tables"),
        (["tables", "--scale", "smok"], "--scale: unknown 'smok'; .*nearest: smoke"),
        (["tables", "--storr", "x"], "reports: unrecognized arguments: --storr"),
        (["tables", "--store", "/nowhere"], "--store: no store at /nowhere"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        cli.main([*words, *([] if "--store" in words else ["--store", str(synthetic.STORE)])])
    assert "\n" not in str(caught.value)
