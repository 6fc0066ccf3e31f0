"""A filled table as CSV (raw and rounded), Markdown, LaTeX, HTML, and JSON with the origin of its numbers.

Byte-stable: the same runs give the same bytes. Every name is escaped for the format that it is written into.
"""

import csv
import html
import io
import json
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from papers.published import Published
from reports.cells import Filled, Result
from reports.layout import DASH, EMPTY, Grid, grid
from reports.runs import Row, made_with
from reports.statistics import half_width

if TYPE_CHECKING:
    from jinja2 import Environment

COLOURS = {"best": "A8E6A1", "near": "FFD59E"}  # green and orange, as RMSGD's tables; light enough for black print
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": r"\textendash{}", "†": r"$^\dagger$",
    "‡": r"$^\ddagger$", "°": r"$^\circ$", "*": r"$^\ast$", "<": r"$<$", ">": r"$>$", "≥": r"$\geq$", "×": r"$\times$",
    "[": "{[}", "]": "{]}",  # after the end of a row, or \midrule, a bracket would be an optional length
    "|": r"\textbar{}", "`": r"\`{}",
}  # fmt: skip
_FORMULA = "=+-@\t\r\n＝＋－＠"  # how a cell begins that a spreadsheet computes
_NUMERAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def raw_csv(result: Result) -> str:
    """Return one line a cell, numbers unrounded (ten significant digits); blank where there is nothing."""
    return csv_of([_raw_row(cell, result.scale) for cell in result.cells])


def _raw_row(cell: Filled, scale: str) -> dict[str, Any]:
    if cell.used is not None:
        return {"row": cell.cell.row_label, "column": cell.cell.column_label} | asdict(cell.used)
    number = cell.published or Published(0, "", "", "", "", "", "", "", None, None, None, "")
    return {
        "row": cell.cell.row_label, "column": cell.cell.column_label, "metric": cell.cell.metric, "scale": scale,
        "mean": cell.summary.mean, "std": cell.summary.std, "ci95": half_width(cell.summary), "n": len(cell.values),
        "planned": cell.planned, "diverged": cell.diverged, "published_mean": number.mean, "published_std": number.std,
        "published_n": number.n, "difference": cell.against.difference, "standard_error": cell.against.error,
        "standard_errors": cell.against.errors, "p_holm": cell.p, "detectable": cell.against.detectable(),
        "p_from_best": cell.from_best, "highlight": cell.highlight, "verdict": cell.verdict, "reason": cell.reason,
        "not_from_paper": "; ".join(f"{key}: {note}" for key, note in sorted(cell.notes.items())),
        "published_line": number.line or None, "overrides": shlex.join(cell.cell.overrides),
    }  # fmt: skip


def rounded_csv(shown: Grid) -> str:
    """Return the table as it is printed: per row our numbers, then the paper's, then the verdicts."""
    kinds = (("ours", "main"), ("paper", "paper"), ("verdict", "verdict"))
    known = [(what, name) for what, name in kinds if any(getattr(entry, name) for entry in shown.entries.values())]
    lines: list[list[Any]] = [["row", "what", *shown.columns]]
    for row in shown.rows:
        for what, name in known:
            lines.append([row, what, *(getattr(entry, name) for entry in shown.line(row))])
    return _csv(lines)


def csv_of(lines: list[dict[str, Any]]) -> str:
    """Return lines of equal keys as CSV; floats with ten significant digits, nothing for None and NaN."""
    return _csv([lines[0].keys(), *(line.values() for line in lines)])


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(map(_plain, row) for row in rows)
    return stream.getvalue()


def _plain(value: Any) -> str:
    """Write a cell. A text that a spreadsheet would take for a formula gets an apostrophe; a number stays one."""
    if isinstance(value, float):
        return f"{value:z.10g}" if isfinite(value) else ""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] and text[0] in _FORMULA and not _NUMERAL.fullmatch(text) else text


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|\[\]#~$])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _item(text: str) -> str:
    """Keep the beginning of a list's item from being a list of its own."""
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", text)


def tex(text: str) -> str:
    """Escape a text for LaTeX; a blank line would end a paragraph, two hyphens would be a dash."""
    return re.sub("-(?=-)", "-{}", "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split())))


def _label(text: str) -> str:
    return re.sub("[^a-zA-Z0-9]", "-", text)


@lru_cache
def _templates(ending: str) -> "Environment":
    """Return the templates of a format. In LaTeX's own, braces and percent signs are LaTeX's: << value >>, <% if %>."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent / "templates")
    made = Environment(loader=loader, autoescape=ending == ".html", undefined=StrictUndefined, trim_blocks=True)
    if ending == ".tex":
        made = made.overlay("<%", "%>", "<<", ">>", "<#", "#>")
    made.keep_trailing_newline = ending != ".html"
    made.filters |= {"markdown": _markdown, "item": _item, "tex": tex, "label": _label}
    return made


def template(name: str, **content: Any) -> str:
    """Fill in a template. What goes into HTML is escaped; in Markdown and LaTeX a filter does it."""
    return _templates(Path(name).suffix).get_template(name).render(content)


def _from(name: str) -> Callable[[Grid], str]:
    return lambda shown: template(name, shown=shown, colours=COLOURS, dash=DASH, empty=EMPTY)


markdown, latex, html_table = _from("table.md"), _from("table.tex"), _from("table.html")


def provenance(result: Result) -> str:
    """Return JSON: for each cell its runs (id, seed, state, value, weights), commits, devices and torch versions."""
    cells = [
        {
            "row": cell.cell.row_label,
            "column": cell.cell.column_label,
            "verdict": cell.verdict_text,
            "group_id": cell.runs[0]["group_id"] if cell.runs else None,
            "runs": [_run(row, value) for row, value in zip(cell.runs, cell.values, strict=True)],
            **made_with(cell.runs),
        }
        for cell in result.cells
    ]
    head = {
        "table": result.table.name,
        "title": result.table.title,
        "scale": result.scale,
        "synthetic": result.synthetic,
    }
    return json.dumps(head | {"verdicts": dict(sorted(result.count().items())), "cells": cells}, indent=1) + "\n"


def _run(row: Row, value: float) -> dict[str, Any]:
    kept = {key: row.get(key) for key in ("id", "seed", "state", "weights_sha256", "metrics_sha256")}
    return kept | {"value": value if isfinite(value) else None}


# The formats of what is printed, and of a table's numbers and their origin.
PRINTED: dict[str, Callable[[Grid], str]] = {
    ".csv": rounded_csv, ".md": markdown, ".tex": latex, ".html": html_table,
}  # fmt: skip
NUMBERS: dict[str, Callable[[Result], str]] = {".raw.csv": raw_csv, ".json": provenance}


def write(result: Result, out: Path, beside: Iterable[Grid] = ()) -> list[Path]:
    """Write a table in every format to `<out>/tables/<name>[@scale]<ending>`; returns the files.

    beside: further tables, as printed, to files of their own names.
    """
    texts = {f"{result.stem}{ending}": render(result) for ending, render in NUMBERS.items()}
    shown = replace(grid(result), name=result.stem)
    return write_grids([shown, *beside], out) + _write(texts, out / "tables")


def write_grids(grids: Iterable[Grid], out: Path) -> list[Path]:
    """Write tables, as printed, to `<out>/tables/<name><ending>`; returns the files."""
    return _write({f"{one.name}{end}": render(one) for one in grids for end, render in PRINTED.items()}, out / "tables")


def _write(texts: dict[str, str], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in texts]
