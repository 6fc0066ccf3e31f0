"""The report: claims, leaderboard, tables and figures, coverage, as an HTML page with its pictures beside it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports import claims, experiments, figures, leaderboard, published, render, supplement
from reports.cells import NOT_RUN, Result
from reports.layout import grid
from reports.panels import has_axis
from reports.pictures import Picture, Pictures
from reports.runs import Runs, diverged, made_with, scale, synthetic

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write(results: Sequence[Result], runs: Runs, out: Path) -> Path:
    """Write tables, coverage.csv, leaderboards, report.html and its pictures to `out`; returns the page's path.

    `reports figures` writes every figure, for print; the page has those of figures.MAIN.
    """
    out.mkdir(parents=True, exist_ok=True)
    covered, pictures = published.coverage(results), Pictures(out)
    (out / "coverage.csv").write_text(render.csv_of(covered), encoding="utf-8", newline="\n")
    found, judged = leaderboard.boards(results, runs), claims.judge(results)
    page = render.template(
        "page.html",
        store=_store(runs),
        complaints=runs.complaints,
        coverage=experiments.by_experiment(results, covered),
        decided=[one for one in judged if one.verdict != claims.OPEN],
        undecided=[one for one in judged if one.verdict == claims.OPEN],
        boards=[_board(board, pictures, out) for board in found],
        tables=list(_tables(results, pictures, out)),
        colours=render.COLOURS,
    )
    pictures.close()
    path = out / "report.html"
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def _store(runs: Runs) -> dict[str, Any]:
    kinds = made_with(runs.rows) | {"scales": sorted({scale(row) for row in runs.rows})}
    counts = {
        "runs": len(runs.rows),
        "diverged": sum(map(diverged, runs.rows)),
        "synthetic": sum(map(synthetic, runs.rows)),
        "other_code": runs.other_code,
        "uncommitted": sum(row.get("dirty") is True for row in runs.rows),
    }
    return counts | {key: "; ".join(values) or "none" for key, values in kinds.items()}


def _board(board: leaderboard.Board, pictures: Pictures, out: Path) -> dict[str, Any]:
    shown = leaderboard.grid(board)
    render.write_grids([shown], out)
    contents = [board.scores().tolist(), board.common(), board.regions, *map(board.times, ("step", "seconds"))]
    found = pictures.of(shown.name, contents, leaderboard.figures(board))
    return {"scale": board.scale, "html": render.html_table(shown), "figures": found}


def _tables(results: Sequence[Result], pictures: Pictures, out: Path) -> Iterator[dict[str, Any]]:
    """Yield what the page shows of each table: in their own form first, grids of rates after the others; by runs.

    A smaller one has pictures only where it has runs that no table before it has.
    """
    known: set[str] = set()
    for result in sorted(results, key=lambda one: (not one.own, has_axis(one, figures.LR), -len(one.runs))):
        ids = {str(row["id"]) for row in result.runs}
        yield _table(result, out) | {
            "figures": _figures(result, pictures) if ids and (result.own or ids - known) else []
        }
        known |= ids


def _table(result: Result, out: Path) -> dict[str, Any]:
    beside = supplement.beside(result)
    render.write(result, out, beside)
    return {
        "of": result,
        "anchor": f"{result.table.name}-{result.scale}",
        "done": len(result.cells) - result.count()[NOT_RUN],
        "folded": has_axis(result, figures.LR),
        "html": render.html_table(grid(result)),
        "beside": [
            (one.title.removeprefix(result.table.title).lstrip(":, "), render.html_table(one)) for one in beside
        ],
    }


def _figures(result: Result, pictures: Pictures) -> list[Picture]:
    def drawn() -> "Iterator[tuple[str, str, Figure]]":
        for name, (caption, plot) in figures.MAIN.items():
            yield from ((name, caption, made) for made in plot(result))

    contents = [result.table.spec, result.scale, [(cell.cell.coordinates, cell.runs) for cell in result.cells]]
    return pictures.of(result.stem, contents, drawn())
