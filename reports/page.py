"""One self-contained HTML page of everything: coverage, claims, tables, figures, provenance. No network, no dates."""

import base64
from pathlib import Path
from typing import Any

from record.source import changed
from reports import claims, figures, published, render
from reports.cells import NOT_RUN, Result
from reports.runs import Runs, diverged, made_with, scale, synthetic


def write(results: list[Result], runs: Runs, out: Path) -> Path:
    """Write every table, every figure, coverage.csv and report.html to `out`; returns the page's path."""
    out.mkdir(parents=True, exist_ok=True)
    covered = published.coverage(results)
    (out / "coverage.csv").write_text(render.csv_of(covered), encoding="utf-8", newline="\n")
    page = render.template(
        "page.html",
        store=_store(runs),
        complaints=runs.complaints,
        coverage=published.by_table(covered),
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
    kinds = made_with(runs.rows) | {"scales": sorted({scale(row) for row in runs.rows})}
    counts = {
        "runs": len(runs.rows),
        "diverged": sum(map(diverged, runs.rows)),
        "synthetic": sum(map(synthetic, runs.rows)),
        "other_code": sum(map(bool, map(changed, runs.rows))),
        "uncommitted": sum(row.get("dirty") is True for row in runs.rows),
    }
    return counts | {key: "; ".join(values) or "none" for key, values in kinds.items()}


def _table(result: Result, out: Path) -> dict[str, Any]:
    render.write(result, out)
    done = len(result.cells) - result.count()[NOT_RUN]
    return {
        "name": result.table.name,
        "anchor": f"{result.table.name}-{result.scale}",
        "title": result.table.title,
        "scale": result.scale,
        "synthetic": result.synthetic,
        "done": done,
        "cells": len(result.cells),
        "runs": result.table.has_runs,
        "html": render.html_table(result),
        "figures": [_picture(path) for path in figures.draw(result, out) if path.suffix == ".svg"],
    }


def _picture(path: Path) -> dict[str, str]:
    kind = path.stem.rpartition("-")[2]
    source = "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
    return {"caption": figures.FIGURES[kind][0], "source": source}
