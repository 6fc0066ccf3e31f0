"""One self-contained HTML page: claims, leaderboard, tables and figures, coverage. No network, no dates."""

import base64
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from record.source import changed
from reports import claims, experiments, figures, leaderboard, published, render, style, supplement
from reports.cells import NOT_RUN, Result
from reports.layout import grid
from reports.panels import has_axis, machines
from reports.runs import Runs, diverged, grouped, made_with, scale, synthetic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POOL_FROM = 40  # figures, drawn or empty, from which on more processes pay: starting one takes two seconds
Picture = dict[str, str]


def write(results: Sequence[Result], runs: Runs, out: Path) -> Path:
    """Write every table, coverage.csv, the leaderboards and report.html to `out`; returns the page's path.

    The page has every figure; `reports figures` writes them to files.
    """
    out.mkdir(parents=True, exist_ok=True)
    covered = published.coverage(results)
    (out / "coverage.csv").write_text(render.csv_of(covered), encoding="utf-8", newline="\n")
    found, judged = leaderboard.boards(results, runs), claims.judge(results)
    run = [result for result in results if result.runs]
    page = render.template(
        "page.html",
        store=_store(runs),
        complaints=runs.complaints,
        coverage=experiments.by_experiment(results, covered),
        decided=[one for one in judged if one.verdict != claims.OPEN],
        undecided=[one for one in judged if one.verdict == claims.OPEN],
        boards=[_board(board, out) for board in found],
        tables=[_table(result, pictures, out) for result, pictures in zip(run, _pictures(run), strict=True)],
        idle=[_table(result, [], out) for result in results if not result.runs],
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


def _board(board: leaderboard.Board, out: Path) -> dict[str, Any]:
    shown = leaderboard.grid(board)
    render.write_grids([shown], out)
    pictures = [_picture(caption, made) for caption, made in leaderboard.figures(board)]
    return {"scale": board.scale, "html": render.html_table(shown), "figures": pictures}


def _table(result: Result, pictures: list[Picture], out: Path) -> dict[str, Any]:
    beside = supplement.beside(result)
    render.write(result, out, beside)
    return {
        "name": result.table.name,
        "anchor": f"{result.table.name}-{result.scale}",
        "title": result.table.title,
        "labels": result.labels,
        "done": len(result.cells) - result.count()[NOT_RUN],
        "cells": len(result.cells),
        "runs": result.table.has_runs,
        "folded": has_axis(result, figures.LR),
        "html": render.html_table(grid(result)),
        "beside": [(one.title.removeprefix(f"{result.table.title}: "), render.html_table(one)) for one in beside],
        "figures": pictures,
    }


def _pictures(results: Sequence[Result]) -> list[list[Picture]]:
    """Return the figures of each result, drawn by several processes where there are many."""
    jobs = [(result, name) for result in results for name in figures.FIGURES]
    workers = min(os.cpu_count() or 1, 8)
    if workers == 1 or len(jobs) < POOL_FROM:
        drawn = [_drawn(*job) for job in jobs]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            drawn = list(pool.map(_drawn, *zip(*jobs, strict=True)))
    by_result = grouped(((id(result)), made) for (result, _), made in zip(jobs, drawn, strict=True))
    return [[picture for made in by_result.get(id(result), []) for picture in made] for result in results]


def _drawn(result: Result, name: str) -> list[Picture]:
    caption, plot = figures.FIGURES[name]
    return [_picture(f"{caption}. {machines(result)}", made) for made in plot(result)]


def _picture(caption: str, made: "Figure") -> Picture:
    return {"caption": caption, "source": "data:image/svg+xml;base64," + base64.b64encode(style.svg(made)).decode()}
