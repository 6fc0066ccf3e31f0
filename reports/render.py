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
from dataclasses import asdict
from functools import lru_cache
from math import isfinite
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from papers.published import Published
from reports.cells import Filled, Result
from reports.layout import DASH, EMPTY, Entry, grid
from reports.runs import Row, made_with
from reports.statistics import half_width

if TYPE_CHECKING:
    from jinja2 import Template

COLOURS = {"best": "A8E6A1", "near": "FFD59E"}  # green and orange, as RMSGD's tables; light enough for black print
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": r"\textendash{}", "†": r"$^\dagger$",
    "‡": r"$^\ddagger$", "°": r"$^\circ$", "*": r"$^\ast$", "<": r"$<$", ">": r"$>$", "×": r"$\times$",
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


def rounded_csv(result: Result) -> str:
    """Return the table as it is printed: per row our numbers, then the paper's, then the verdicts."""
    shown = grid(result)
    lines: list[list[Any]] = [["row", "what", *shown.columns]]
    for row in shown.rows:
        for what, name in (("ours", "main"), ("paper", "paper"), ("verdict", "verdict")):
            lines.append([row, what, *map(attrgetter(name), shown.line(row))])
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


def markdown(result: Result) -> str:
    """Return the table in GitHub's Markdown: ours, then the paper's number and the verdict in each cell."""
    shown = grid(result)
    lines = [f"### {_markdown(shown.title)}", "", f"| {' | '.join(map(_markdown, [shown.corner, *shown.columns]))} |"]
    lines.append("|---" * (len(shown.columns) + 1) + "|")
    for row in shown.rows:
        lines.append(f"| {' | '.join([_markdown(row), *map(_markdown_cell, shown.line(row))])} |")
    return "\n".join([*lines, "", *(f"- {_item(_markdown(text))}" for text in shown.remarks)]) + "\n"


def _markdown_cell(entry: Entry) -> str:
    style = {"best": "**", "near": "*"}.get(entry.highlight, "")
    paper = f"paper {entry.paper}" if entry.paper else ""
    texts = [f"{style}{_markdown(entry.main)}{style}", _markdown(paper), _markdown(entry.verdict)]
    return "<br>".join(text for text in texts if text)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_|\[\]#~$])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _item(text: str) -> str:
    """Keep the beginning of a list's item from being a list of its own."""
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", text)


def latex(result: Result) -> str:
    """Return a LaTeX table (packages booktabs and xcolor with option table): ours, and the paper's below it in grey."""
    shown = grid(result)
    head = " & ".join(map(tex, [shown.corner, *shown.columns]))
    body: list[str] = []
    for row in shown.rows:
        entries = shown.line(row)
        body.append(" & ".join([tex(row), *map(_latex_cell, entries)]) + r" \\")
        if any(entry.paper for entry in entries):
            papers = [rf"\textcolor{{gray}}{{{tex(e.paper)}}}" if e.paper else "" for e in entries]
            body.append(" & ".join([r"\quad\textcolor{gray}{paper}", *papers]) + r" \\")
    label = re.sub("[^a-zA-Z0-9]", "-", shown.name)
    return "\n".join([
        r"% \usepackage{booktabs} \usepackage[table]{xcolor}", r"\begin{table}", r"\centering\small",
        rf"\caption{{{tex(shown.title)}. {tex(' '.join(shown.remarks))}}}", rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{l{'r' * len(shown.columns)}}}", r"\toprule", head + r" \\", r"\midrule", *body,
        r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


def _latex_cell(entry: Entry) -> str:
    spread = rf"$_{{{entry.spread}}}$" if entry.spread else ""
    colour = rf"\cellcolor[HTML]{{{COLOURS[entry.highlight]}}}" if entry.highlight else ""
    style = {"best": r"\textbf{%s}", "near": r"\textit{%s}"}.get(entry.highlight, "%s")
    mean = style % tex(entry.mean)
    return f"{colour}{mean}{spread}{tex(entry.marks)}"


def tex(text: str) -> str:
    """Escape a text for LaTeX; a blank line would end a paragraph, two hyphens would be a dash."""
    return re.sub("-(?=-)", "-{}", "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split())))


@lru_cache
def template(name: str) -> "Template":
    """Return a page of this folder; everything put into it is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True).get_template(name)


def html_table(result: Result) -> str:
    """Return the table as an HTML fragment; sortable where the page's script is present."""
    return template("table.html").render(shown=grid(result), dash=DASH, empty=EMPTY)


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


FORMATS: dict[str, Callable[[Result], str]] = {
    ".csv": rounded_csv, ".raw.csv": raw_csv, ".md": markdown, ".tex": latex, ".html": html_table, ".json": provenance,
}  # fmt: skip


def write(result: Result, out: Path) -> list[Path]:
    """Write a table in every format to `<out>/tables/<name>[@scale]<ending>`; returns the files."""
    folder = out / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for ending, render in FORMATS.items():
        paths.append(folder / f"{result.stem}{ending}")
        paths[-1].write_text(render(result), encoding="utf-8", newline="\n")
    return paths
