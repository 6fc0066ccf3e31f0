"""Figures, claims and the HTML page, on synthetic runs."""

import json
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from papers import table as tables
from papers.published import Published
from papers.table import Table
from reports import __main__ as cli
from reports import claims, figures, logged, page, pairs, panels, render, scores, style
from reports.cells import Filled, Result, fill
from reports.pictures import Pictures
from reports.runs import Runs
from reports.statistics import Comparison, summary
from tests.reports import synthetic

MODELS = [f"net{i}" for i in range(6)]


def drawn(means: dict[str, float], seeds: int = 5, spread: float = 0.1, **changes: Any) -> Result:
    """Return a filled table of six nets whose runs are drawn about these means; nothing is on disk."""
    spec = {"title": "Drawn", "rows": {"data": "cifar10", "model": MODELS}, "columns": {"optimizer": list(means)}}
    spec |= {"metric": "test_top1", "seeds": list(range(seeds))} | changes
    table = Table("drawn", tables.DEFAULTS | spec)
    draw = random.Random(0)
    rows = []
    for cell in table.cells():
        for seed in cell.seeds:
            score = draw.gauss(means[str(cell.coordinates["optimizer"])], spread)
            content = synthetic.result(cell.overrides, seed, draw)
            content["metrics"]["test_top1"] = score
            rows.append(flat(content) | {"seed": seed, "folder": "nowhere"})
    return fill(table, Runs(rows), synthetic.identify)


def count(made: Iterable[object]) -> int:
    return sum(1 for _ in made)


def flat(content: dict[str, Any]) -> dict[str, Any]:
    from record.read import flat as flatten

    return {key: content["config"][key]["name"] for key in ("data", "model", "optimizer")} | flatten(content)


def judged(result: Result, **claim: Any) -> claims.Judged:
    full = {"id": "x", "paper": "p", "says": "s", "where_said": "w", "table": result.table.name} | claim
    return claims._judged(full, result.scale, [result])


def test_a_claim_is_supported_only_by_significant_differences_throughout() -> None:
    result = drawn({"rmsgd": 95.0, "sgd": 94.0, "adam": 93.0})
    assert judged(result, test="above", order=["rmsgd", "sgd", "adam"]).verdict == "supported"
    assert judged(result, test="best", order=["rmsgd"]).verdict == "supported"
    assert judged(result, test="best", order=["sgd"]).verdict == "contradicted"
    assert judged(result, test="best", order=["sgd"], others=["adam"]).verdict == "supported"  # whatever is above it
    turned = judged(result, test="above", order=["adam", "sgd"])
    assert turned.verdict == "contradicted"
    assert "against: Adam 9" in turned.evidence


def test_equal_optimizers_are_inconclusive_without_power_for_the_papers_difference() -> None:
    result = drawn({"rmsgd": 95.0, "sgd": 95.0}, spread=1.0)
    for test in ("above", "at_least"):
        found = judged(result, test=test, order=["rmsgd", "sgd"])
        assert found.verdict == "inconclusive"
        assert "cannot show a difference of the size seen with 80 % power: that would take" in found.evidence


def test_no_difference_is_found_where_the_papers_difference_would_have_been() -> None:
    result = drawn({"rmsgd": 95.0, "sgd": 95.0}, spread=0.1)
    number = Published(0, "p", "1", "d", "m", "o", "", "test_top1", 95.0, 0.1, 5, "")
    higher = {"rmsgd": replace(number, mean=96.0), "sgd": number}
    cells = [replace(cell, published=higher[str(cell.cell.coordinates["optimizer"])]) for cell in result.cells]
    told = judged(replace(result, cells=cells), test="above", order=["rmsgd", "sgd"])
    assert told.verdict == "no difference found"
    near = [replace(c, published=replace(c.published, mean=95 + (c.published.mean - 95) / 20)) for c in cells]
    told = judged(replace(result, cells=near), test="above", order=["rmsgd", "sgd"])
    assert told.verdict == "inconclusive"
    seeds = int(re.search(r"would take (\d+) seeds", told.evidence)[1])
    assert 5 < seeds < 10_000


def test_no_systematic_improvement_is_refuted_by_being_above_everywhere() -> None:
    claim = {"test": "unsystematic", "order": ["rmsgd", "sgd"]}
    assert judged(drawn({"rmsgd": 95.0, "sgd": 94.0}), **claim).verdict == "contradicted"
    assert judged(drawn({"rmsgd": 93.0, "sgd": 94.0}), **claim).verdict == "supported"
    assert judged(drawn({"rmsgd": 95.0}), **claim).verdict == "open"
    mrt = fill(tables.load("adamsrt_5"), Runs([]), lambda cells: ({}, {}))
    shipped = next(claim for claim in claims.claims() if claim["id"] == "sgdmrt-unsystematic")
    one = claims._judged(shipped, "paper", [mrt])
    assert one.verdict == "open"
    assert one.printed.startswith("above in 3 of 8 comparisons, 0 significantly; mean gain -0.07")


def test_a_small_gain_everywhere_is_systematic() -> None:
    result = drawn({"rmsgd": 95.1, "sgd": 95.0}, spread=0.1)
    found = judged(result, test="unsystematic", order=["rmsgd", "sgd"])
    assert found.verdict == "contradicted"
    assert int(found.evidence.split(" significantly")[0][-1]) < 6  # no comparison alone would do


def test_many_comparisons_are_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    result = drawn({"rmsgd": 94.0, "sgd": 95.0})
    monkeypatch.setattr(pairs, "welch", lambda a, b: Comparison(-1.0, 0.3, 8.0, 0.02))
    assert judged(result, test="above", order=["rmsgd", "sgd"]).verdict == "inconclusive"  # six tasks: 0.12 after Holm
    assert judged(result, test="above", order=["rmsgd", "sgd"], where={"model": "net0"}).verdict == "contradicted"
    several = judged(result, test="above", order=["rmsgd", "sgd"], where={"model": ["net0", "net1"]})
    assert several.evidence.startswith("0 of 2 comparisons")
    assert several.verdict == "contradicted"


def test_a_claim_without_runs_stays_open_and_says_what_is_missing() -> None:
    empty = fill(tables.load("adamsrt_2"), Runs([]), lambda cells: ({}, {}))
    one = claims._judged(next(claim for claim in claims.claims() if claim["id"] == "adamsrt-order"), "paper", [empty])
    assert (one.verdict, one.evidence) == ("open", "none of 16 comparisons can be made")
    assert one.printed.startswith("16 of 16 comparisons as claimed")


def test_ratios_of_times_stay_on_one_device() -> None:
    result = drawn({"sam": 95.0, "sgd": 94.0}, seeds=2)
    double = {"test": "ratio", "order": ["sam", "sgd"], "field": "time.epoch_seconds.median", "between": [1.7, 2.3]}
    assert judged(result, **double).verdict == "contradicted"
    for cell in result.cells:
        for row in cell.runs:
            row["time.epoch_seconds.median"] = 4.0 if row["optimizer"] == "sam" else 2.0
    assert judged(result, **double).verdict == "supported"
    shared = [replace(cell, runs=[row | {"shared": True} for row in cell.runs]) for cell in result.cells]
    assert judged(replace(result, cells=shared), **double).verdict == "open"
    for cell in result.cells:
        for row in cell.runs:
            row["machine.cpu"] = row["optimizer"]
    assert judged(result, **double).verdict == "open"


def test_ratios_of_scores_count_wherever_they_were_measured(tmp_path: Path) -> None:
    result = drawn({"sam": 95.0, "sgd": 94.0}, seeds=2)
    scores = {"test": "ratio", "order": ["sam", "sgd"], "field": "metrics.test_top1", "between": [1.0, 1.05]}
    rows = [row for cell in result.cells for row in cell.runs]
    for row in rows:
        row |= {"shared": True, "machine.cpu": row["optimizer"]}
    assert judged(result, **scores).verdict == "supported"
    norms = scores | {"field": "probe.norms.mean_norm", "between": [0.0, 0.9]}
    assert judged(result, **norms).verdict == "open"
    for number, row in enumerate(rows):
        folder = tmp_path / str(number)
        folder.mkdir()
        norm = 1.0 if row["optimizer"] == "sam" else 2.0
        lines = [{"probe": "norms", "step": step, "values": {"mean_norm": norm * step}} for step in (9, 1)]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        row["folder"] = str(folder)
    assert judged(result, **norms).verdict == "supported"
    assert judged(result, **norms | {"between": [0.0, 0.4]}).verdict == "contradicted"


def test_every_shipped_claim_names_cells_that_exist() -> None:
    for claim in claims.claims():
        assert claim["test"] in claims.TESTS
        cells = [
            cell for names in claims.tables_of(claim).values() for one in names for cell in tables.load(one).cells()
        ]
        kept = [c for c in cells if claims._counts(_bare(c), claim.get("where", {}))]
        named = {name for c in kept for name in (str(c.coordinates.get("optimizer")), pairs.variant(c))}
        assert named >= set(claim["order"]), claim["id"]
    assert max(Counter(claim["id"] for claim in claims.claims()).values()) == 1


def test_cells_that_a_scale_maps_onto_the_same_runs_are_one_comparison() -> None:
    """Else a small p would be counted once a net, and Holm would make it larger for nothing."""
    result = drawn({"rmsgd": 95.0, "sgd": 94.0})
    of = {cell.cell.coordinates["optimizer"]: cell for cell in result.cells}
    cells = [replace(cell, runs=of[cell.cell.coordinates["optimizer"]].runs) for cell in result.cells]
    assert len(pairs.pairs(["rmsgd", "sgd"], result.cells).ready) == len(result.cells) / 2 > 1
    found = pairs.pairs(["rmsgd", "sgd"], cells)
    assert (len(found.ready), found.missing) == (1, 0)
    other = [replace(cell, cell=replace(cell.cell, metric="test_top5")) for cell in cells]
    assert len(pairs.pairs(["rmsgd", "sgd"], [*cells, *other]).ready) == 2  # another metric of the same runs


@pytest.mark.parametrize(("last", "verdict"), [(97.0, "supported"), (92.0, "contradicted"), (95.1, "inconclusive")])
def test_a_lead_grows_only_where_the_change_is_significant(last: float, verdict: str) -> None:
    result = drawn({"rmsgd": 95.0, "sgd": 94.0})
    ends = [replace(cell, summary=replace(cell.summary, mean=94.0, std=0.3)) for cell in result.cells]
    for place, mean in ((0, 95.0), (-1, last)):
        cell = [cell for cell in ends if cell.cell.coordinates["optimizer"] == "rmsgd"][place]
        ends[ends.index(cell)] = replace(cell, summary=replace(cell.summary, mean=mean))
    told = judged(replace(result, cells=ends), test="growing", order=["rmsgd", "sgd"])
    assert told.verdict == verdict
    assert f"{last - 94:+.2f} in the last" in told.evidence


def _bare(cell: Any) -> Any:
    from reports.cells import Filled
    from reports.statistics import summary

    return Filled(cell, [], [], None, summary([]))


def test_scores_over_tasks_leave_incomplete_tasks_out_and_say_so() -> None:
    result = drawn({"rmsgd": 95.0, "sgd": 94.0, "adam": 93.0})
    result.cells[0].values.pop()
    names, table, left = scores.scores_by_task(result.groups(), scores.mean_score)
    assert (names, table.shape, len(left)) == (["rmsgd", "sgd", "adam"], (5, 3), 1)
    assert "net0" in left[0]


def test_rank_diagram_and_profile_are_drawn_and_refused_when_tasks_are_few(tmp_path: Path) -> None:
    result = drawn({"rmsgd": 95.0, "sgd": 94.0, "adam": 93.0}, seeds=2)
    (made,) = scores.rank_diagram(result)
    assert [p.name for p in style.save(made, tmp_path / "a.b-ranks")] == [f"a.b-ranks{end}" for end in style.FORMATS]
    assert count(scores.profile(result)) == 1
    few = drawn({"rmsgd": 95.0, "sgd": 94.0}, seeds=2)
    assert count(scores.rank_diagram(few)) == 0


def test_sensitivity_figures_need_their_axes() -> None:
    axes = {"optimizer.lr": [0.1, 0.2], "optimizer.weight_decay": [0.0, 0.1]}
    grid = drawn({"sgd": 94.0}, seeds=2, rows={"data": "cifar10", "model": "net"}, columns={"optimizer": "sgd"} | axes)
    assert count(figures.heat_map(grid)) == 1
    assert count(figures.rates(grid)) == 0
    lines = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.1, 0.2]}
    line = drawn({"sgd": 94.0, "adam": 93.0}, 2, rows={"data": "cifar10", "model": "net"}, columns=lines)
    assert count(figures.rates(line)) == 1
    assert count(figures.tuning(line)) == 1
    assert count(figures.heat_map(line)) == 0


def test_a_range_test_is_drawn_over_the_rate_of_each_step(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"kind": "step", "step": step, "loss": 10.0 / step} for step in range(1, 9)]
    rows += [{"kind": "epoch", "epoch": e, "step": 4 * e, "lr": 10.0 ** (e - 2)} for e in (1, 2)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = drawn({"sgd": 94.0}, seeds=1, rows={"data": "cifar10", "model": "net"})
    assert count(figures.range_test(result)) == 0
    result.cells[0].runs[0] |= {"folder": str(tmp_path), "config.schedule.name": "range_test", "state": "diverged"}
    (made,) = (made.axes[0].lines[0].get_xdata() for made in figures.range_test(result))
    assert made == pytest.approx([10 ** ((step - 8) / 4) for step in range(1, 9)])


def test_curves_are_cut_to_the_shortest_and_the_last_row_of_an_epoch_counts(tmp_path: Path) -> None:
    lines = '{"kind": "epoch", "epoch": 1, "a": 1}\n{"probe": "x", "epoch": 1}\n{"kind": "epoch", "epoch": 1, "a": 3}\n'
    (tmp_path / "metrics.jsonl").write_text(lines + '{"kind": "epoch", "epoch": 2, "a": null}\n{"kind": "ep')
    found = logged.curve({"folder": str(tmp_path)})
    assert found["a"][0] == 3.0
    assert np.isnan(found["a"][1])
    x, mean, std = logged.band([found, {"epoch": np.array([1.0]), "a": np.array([5.0])}], "a")
    assert (x.tolist(), mean.tolist(), std.tolist()) == ([1.0], [4.0], [2.0**0.5])
    assert len(logged.band([], "a")[0]) == 0


def test_curves_are_averaged_at_the_times_that_all_have() -> None:
    """A line that was lost shifts no later epoch."""
    whole, torn = ({"epoch": np.array(at), "a": np.array(at)} for at in ([1.0, 2.0, 3.0], [1.0, 3.0]))
    x, mean, std = logged.band([whole, torn], "a")
    assert (x.tolist(), mean.tolist(), std.tolist()) == ([1.0, 3.0], [1.0, 3.0], [0.0, 0.0])


def test_a_figure_of_curves_counts_the_runs_that_diverged(tmp_path: Path) -> None:
    result = drawn({"rmsgd": 95.0, "sgd": 94.0}, seeds=2, rows={"data": "cifar10", "model": ["net0"]})
    line = '{"kind": "epoch", "epoch": 1, "step": 1, "test_top1": 9.0}\n'
    (tmp_path / "metrics.jsonl").write_text(line + line.replace("1", "2"))
    for row in result.runs:
        row |= {"folder": str(tmp_path), "state": "diverged" if row["optimizer"] == "sgd" and row["seed"] else "done"}
    (label,) = (made.axes[0].get_xlabel() for made in logged.curves("test_top1")(result))
    assert label == "epoch\nnot drawn, diverged: SGD 1 of 2"


def test_a_schedule_on_the_optimizers_axis_is_a_panel_of_its_own() -> None:
    spec = {"title": "t", "metric": "test_top1", "seeds": [0], "rows": {"data": ["cifar10"], "model": ["net0"]}}
    columns = {"optimizer": ["sgd", "adam"], "schedule": ["cosine", "constant"]}
    cells = Table("t", tables.DEFAULTS | spec | {"columns": columns}).cells()
    filled = [Filled(cell, [{"id": str(n)}], [], None, summary([])) for n, cell in enumerate(cells)]
    found = panels.tasks(Result(Table("t", tables.DEFAULTS | spec), "paper", filled))
    assert {title: len(cells) for title, cells in found.items()} == {
        "cifar10 net0 schedule cosine": 2,
        "cifar10 net0 schedule constant": 2,
    }


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0]])
def test_values_that_are_not_one_a_layer_are_left_out(tmp_path: Path, values: list[float]) -> None:
    good = {"probe": "p", "epoch": 1, "layers": ["a", "b"], "values": {"x": [1.0, 2.0]}}
    lines = [good, good | {"step": 2, "values": {"x": values}}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, found, layers = logged.series({"folder": str(tmp_path)}, "p", "x")
    assert (found.tolist(), layers) == ([[1.0, 2.0]], ["a", "b"])


def test_a_probes_rows_become_one_line_a_layer(tmp_path: Path) -> None:
    rows = [
        {"probe": "ranks", "epoch": e, "layers": ["a", "b"], "values": {"stable_rank": [e, None], "Q": 1.0}}
        for e in (1, 2)
    ]
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows, {"probe": "x", "epoch": 1}])
    )
    x, values, names = logged.series({"folder": str(tmp_path)}, "ranks", "stable_rank")
    assert (x.tolist(), values[:, 0].tolist(), names) == ([1.0, 2.0], [1.0, 2.0], ["a", "b"])
    assert np.isnan(values[:, 1]).all()
    result = drawn({"sgd": 94.0}, seeds=1, rows={"data": "cifar10", "model": "net"})
    draw = logged.by_layer("ranks", "stable_rank", "stable rank")
    assert count(draw(result)) == 0
    result.cells[0].runs[0]["folder"] = str(tmp_path)
    assert count(draw(result)) == 1


def test_a_figure_has_the_same_bytes_twice(tmp_path: Path) -> None:
    result = fill(synthetic.table(), synthetic.runs(), synthetic.identify)
    _, draw = figures.FIGURES["epoch_time"]
    (one,), (two,) = ([style.save(made, tmp_path / place / "f") for made in draw(result)] for place in "xy")
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]
    assert len(one) == 3


def test_every_optimizer_of_the_suite_has_its_own_look() -> None:
    from conf import groups

    named = {*groups.files("optimizer"), *style.LOOKS} - {"custom"}  # one without an entry has a look from its letters
    looks = Counter(tuple(style.look(name).values()) for name in named)
    assert max(looks.values()) == 1
    eps, softplus = style.look("sing eps"), style.look("sing softplus")
    assert softplus["color"] == style.look("sing")["color"]
    variants = [eps, *(style.look(name) for name in groups.options("optimizer") if name.startswith("sing"))]
    assert len({look["color"] for look in variants}) == len({look["marker"] for look in variants}) == len(variants)
    assert style.look("somebody's own") == style.look("somebody's own")
    decays = [style.look(f"sing weight_decay={decay}") for decay in (0.001, 0.01, 0.1, 1.0)]
    assert len({(look["marker"], look["linestyle"]) for look in decays}) == 4


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page of the synthetic store, with hostile names, and with one figure only: all of them take a minute."""
    runs = synthetic.runs()
    runs.complaints.append("<script>alert(2)</script>")
    spec = synthetic.table().spec | {"title": "<script>alert(1)</script>"}
    result = fill(Table("synthetic", spec), runs, synthetic.identify)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "MAIN", {"score": figures.MAIN["score"]})
        return page.write([result], runs, tmp_path_factory.mktemp("page"))


def test_the_page_needs_nothing_but_its_own_files_and_escapes_every_name(written: Path) -> None:
    text = written.read_text()
    assert "<script>alert" not in text
    assert text.count("<script>") == 1
    named = re.findall(r"""(?:src|href)=["']([^#"'][^"']*)""", text)
    assert set(named) == {"page/synthetic-score.png"}
    assert (written.parent / named[0]).read_bytes().startswith(b"\x89PNG")
    assert "http" not in text.replace("http-equiv", "")
    assert "4 runs left out" in text or "5 runs left out" in text


def test_the_page_shows_tables_claims_and_coverage_and_writes_them_beside_it(written: Path) -> None:
    text = written.read_text()
    for words in ("7 of 8 cells have runs", "read off a figure of the project page", "s0 "):
        assert words in text
    places = [text.index(f'<h2 id="{name}"') for name in ("claims", "leaderboard", "tables", "coverage")]
    assert places == sorted(places)
    assert (written.parent / "coverage.csv").read_text().count("\n") == 606
    assert (written.parent / "tables" / "synthetic.tex").read_text().startswith("% \\usepackage")
    assert render.COLOURS["best"] in text


def test_a_picture_is_drawn_again_only_where_what_it_shows_has_changed(tmp_path: Path) -> None:
    def once(shown: object) -> bytes:
        asked = []

        def drawn() -> Iterator[tuple[str, str, Figure]]:
            asked.append(shown)
            with style.figure() as (made, axes):
                axes[0, 0].plot([0, 1])
                yield "line", "A line", made

        pictures = Pictures(tmp_path)
        (found,) = pictures.of("table", shown, drawn())
        pictures.close()
        draws.append(len(asked))
        return (tmp_path / found["source"]).read_bytes()

    draws: list[int] = []
    assert once({"loss": 1.0}) == once({"loss": 1.0}) == once({"loss": 2.0})
    (tmp_path / "page" / "table-line.png").unlink()
    once({"loss": 2.0})
    (tmp_path / "page" / "drawn.json").write_text("{torn")
    once({"loss": 2.0})
    assert draws == [1, 0, 1, 1, 1]


def test_a_table_that_is_small_itself_has_one_form() -> None:
    forms = [
        (result.table.name, result.scale, result.stem) for result in cli.filled(Runs([]), ["study", "rmsgd_1a"], None)
    ]
    assert forms == [("study", "cpu", "study"), ("rmsgd_1a", "paper", "rmsgd_1a")]
    study = tables.load("study")
    assert study.cells("cpu") == study.cells()
    assert study.cells("smoke") != study.cells()


def test_tasks_that_a_scale_maps_onto_the_same_runs_are_one_panel() -> None:
    result = drawn({"rmsgd": 95.0, "sgd": 94.0}, seeds=2)
    assert len(panels.tasks(result)) == len(MODELS)
    first = {cell.cell.coordinates["optimizer"]: cell.runs for cell in reversed(result.cells)}
    cells = [replace(cell, runs=first[cell.cell.coordinates["optimizer"]]) for cell in result.cells]
    ((title, shown),) = panels.tasks(replace(result, cells=cells)).items()
    assert title == "cifar10 net0 (and 5 tasks of the same runs)"
    assert [cell.cell.coordinates["optimizer"] for cell in shown] == ["rmsgd", "sgd"]


def with_own_runs(name: str) -> Result:
    """Return a table of the suite as if each of its cells had a run of its own."""
    (result,) = cli.filled(Runs([]), [name], None)
    runs = [replace(cell, runs=[{"id": str(number)}]) for number, cell in enumerate(result.cells)]
    return replace(result, cells=runs)


def test_what_is_not_on_the_optimizers_axis_has_panels_of_its_own() -> None:
    """Lines are named by optimizer: in one panel those of three batch sizes would be one line."""
    groups = panels.tasks(with_own_runs("study_batch"))
    assert list(groups) == [f"cifar10_jpeg resnet20 batch_size {size}" for size in (128, 32, 512)]
    assert all(len({panels.name_of(cell) for cell in cells}) == len(cells) for cells in groups.values())


def test_a_figure_of_fifty_panels_is_not_drawn() -> None:
    result = with_own_runs("rmsgd_nats")
    assert len(panels.tasks(result)) == 50
    assert not [*panels.Panels(lambda axis, cells: True)(result)]


@pytest.mark.extras
@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
def test_the_page_runs_in_a_browser_without_an_error(written: Path) -> None:
    table = "[...document.querySelectorAll('.sortable')].find(one => one.textContent.includes('cifar10 resnet18'))"
    click = f"<script>{table}.querySelectorAll('th button')[1].click()</script></body>"
    clicked = written.with_name("clicked.html")
    clicked.write_text(written.read_text().replace("</body>", click))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=2000"]
    shown = subprocess.run(
        ["chromium", *flags, "--dump-dom", clicked.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert shown.stdout.count('<button type="button">') > 10  # every column head of a sortable table
    assert shown.stdout.count('aria-sort="descending"') == 1
    assert shown.stdout.index(">cifar10 resnet34<") < shown.stdout.index(">cifar10 resnet18<")  # adam: 93.40, 93.24
    assert "CONSOLE" not in shown.stderr
