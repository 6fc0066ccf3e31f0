"""One self-contained HTML page of everything: coverage, claims, tables, figures, provenance. No network, no dates."""

import base64
from pathlib import Path
from typing import Any

from reports import claims, coverage, figures, render
from reports.cells import NOT_RUN, Result
from reports.runs import Runs, device, made_up, scale

HERE = Path(__file__).parent
CAPTIONS = {
    "test_top1": "Test accuracy, mean and one standard deviation over seeds",
    "train_top1": "Training accuracy, mean and one standard deviation over seeds",
    "test_loss": "Test loss, mean and one standard deviation over seeds",
    "train_loss": "Training loss, mean and one standard deviation over seeds",
    "time": "Test accuracy against training time (evaluation off the clock)",
    "rate": "Learning rate",
    "layer_ranks": "Stable rank by layer, first layer darkest, first seed",
    "layer_rates": "Learning rate by layer, first layer darkest, first seed",
    "layer_effective": "Learning rate on the sphere by layer, first layer darkest, first seed",
    "epoch_time": "Seconds an epoch, median and range over seeds, on one device",
    "memory": "Peak memory, on one device",
    "state": "Memory of the optimizer's state",
    "sensitivity": "Sensitivity to the learning rate, with one standard deviation over seeds",
    "tuning": "Expected best of k tuning trials",
    "heat": "Sensitivity to learning rate and weight decay",
    "ranks": "Mean ranks over tasks",
    "profile": "Performance profile of the time to the target",
}


def write(results: list[Result], runs: Runs, out: Path) -> Path:
    """Write every table, every figure, coverage.csv and report.html to `out`; returns the page's path."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    out.mkdir(parents=True, exist_ok=True)
    covered = coverage.coverage(results)
    (out / "coverage.csv").write_text(render.csv_of(covered), encoding="utf-8", newline="\n")
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    page = environment.get_template("page.html").render(
        store=_store(runs),
        complaints=runs.complaints,
        coverage=coverage.by_table(covered),
        claims=claims.judge(results),
        tables=sorted(
            (_table(result, out) for result in results), key=lambda table: not (table["done"] and table["runs"])
        ),
        colours=render.COLOURS,
    )
    path = out / "report.html"
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def _store(runs: Runs) -> dict[str, Any]:
    rows = runs.rows
    return {
        "runs": len(rows),
        "diverged": sum(row["state"] == "diverged" for row in rows),
        "made up": sum(map(made_up, rows)),
        "scales": ", ".join(sorted({scale(row) for row in rows})) or "none",
        "devices": "; ".join(sorted({device(row) for row in rows})) or "none",
        "torch": ", ".join(sorted({str(row.get("platform.torch")) for row in rows})) or "none",
        "commits": ", ".join(sorted({str(commit)[:10] for row in rows for commit in row.get("commits") or []}))
        or "none",
    }


def _table(result: Result, out: Path) -> dict[str, Any]:
    render.write(result, out)
    done = len(result.cells) - result.count()[NOT_RUN]
    return {
        "name": result.table.name,
        "anchor": f"{result.table.name}-{result.scale}",
        "title": result.table.title,
        "scale": result.scale,
        "made_up": result.made_up,
        "done": done,
        "cells": len(result.cells),
        "runs": result.table.has_runs,
        "html": render.html_table(result),
        "figures": [_picture(path) for path in figures.draw(result, out) if path.suffix == ".svg"],
    }


def _picture(path: Path) -> dict[str, str]:
    kind = path.stem.rpartition("-")[2]
    source = "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
    return {"kind": kind, "caption": CAPTIONS.get(kind, kind.replace("_", " ")), "source": source}
