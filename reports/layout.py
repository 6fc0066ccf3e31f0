"""A filled table as a grid of texts, before any format: what each cell says, and what is said below the table."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

from papers.table import METRICS
from reports.cells import NOT_RUN, Filled, Result, power_note
from reports.runs import device
from reports.statistics import ALPHA, half_width
from reports.tuned import used

DASH = "–"
SCALES = {
    "cpu": "smaller data and nets than the paper's",
    "smoke": "two steps on tiny or made-up data; the numbers say nothing of an optimizer",
}
NOT_COMPARED = "Published numbers are shown beside and not compared: not the same experiment."
MARKS = {"diverged": "†", "partial": "‡", "unprinted": "°", "worse": "*"}


@dataclass(frozen=True)
class Entry:
    """What a cell of the grid says. spread: text after the plus-minus sign, empty where there is none."""

    mean: str
    spread: str
    marks: str
    paper: str
    verdict: str
    highlight: str
    hover: str

    @property
    def main(self) -> str:
        return self.mean + (f" ± {self.spread}" if self.spread else "") + self.marks


@dataclass(frozen=True)
class Grid:
    """Labels and entries in order of layout; a place without a cell has no entry."""

    name: str
    title: str
    corner: str
    rows: list[str]
    columns: list[str]
    entries: dict[tuple[str, str], Entry]
    remarks: list[str]


def grid(result: Result) -> Grid:
    """Lay a filled table out."""
    cells = [cell.cell for cell in result.cells]
    write = _number if result.table.has_runs else _tuned
    return Grid(
        name=result.table.name,
        title=result.table.title,
        corner=METRICS.get(str(result.table.spec["metric"]), {}).get("short", ""),
        rows=list(dict.fromkeys(cell.row_label for cell in cells)),
        columns=list(dict.fromkeys(cell.column_label for cell in cells)),
        entries={(c.cell.row_label, c.cell.column_label): write(c, result) for c in result.cells},
        remarks=remarks(result),
    )


def fixed(number: float, metric: str) -> str:
    """Write a number with the digits of its metric; a dash for NaN."""
    return f"{number:z.{METRICS.get(metric, {}).get('digits', 2)}f}" if isfinite(number) else DASH


def _number(cell: Filled, result: Result) -> Entry:
    metric = cell.cell.metric
    spread = half_width(cell.summary) if result.table.spec["show"] == "mean_ci" else cell.summary.std
    return Entry(
        mean=fixed(cell.summary.mean, metric),
        spread=fixed(spread, metric) if isfinite(spread) and isfinite(cell.summary.mean) else "",
        marks=_marks(cell),
        paper=_paper(cell),
        verdict=_verdict(cell),
        highlight=cell.highlight,
        hover=_hover(cell),
    )


def _marks(cell: Filled) -> str:
    holds = {
        "diverged": cell.diverged > 0,
        "partial": 0 < len(cell.values) < cell.planned,
        "unprinted": bool(cell.notes),
        "worse": cell.from_best < ALPHA,
    }
    return "".join(MARKS[name] for name, true in holds.items() if true)


def _paper(cell: Filled) -> str:
    number = cell.published
    if number is None or number.mean is None:
        return ""
    std = "" if number.std is None else f" ± {fixed(number.std, cell.cell.metric)}"
    return fixed(number.mean, cell.cell.metric) + std


def _verdict(cell: Filled) -> str:
    errors = f", {cell.against.errors:+z.1f} se" if isfinite(cell.against.errors) else ""
    return cell.verdict_text + errors


def _hover(cell: Filled) -> str:
    seeds = ", ".join(
        f"s{row['seed']} {row['id']} {fixed(value, cell.cell.metric)}"
        for row, value in zip(cell.runs, cell.values, strict=True)
    )
    parts = [
        f"{len(cell.values)} of {cell.planned} seeds: {seeds}" if seeds else cell.reason or "no runs",
        f"p {cell.p:.2g} (Welch, Holm)" if isfinite(cell.p) else "",
        f"would have shown {cell.against.detectable():.2f} with 80 % power"
        if isfinite(cell.against.detectable())
        else "",
        f"commits {', '.join(commits(cell))}" if cell.runs else "",
        *(f"{key}: {note}" for key, note in sorted(cell.notes.items())),
        f"again: {again(cell)}",
        f"paper: {cell.published.setting or 'no setting'}; {cell.published.source}" if cell.published else "",
    ]
    return "; ".join(part for part in parts if part)


def again(cell: Filled) -> str:
    """Return the one command that makes a cell's runs again, to be pasted into a shell."""
    seeds = ",".join(map(str, cell.cell.seeds))
    return shlex.join(["python", "train.py", "-m", *cell.cell.overrides, f"seed={seeds}"])


def commits(cell: Filled) -> list[str]:
    """Return the commits that made a cell's runs, shortened."""
    return sorted({str(commit)[:10] for row in cell.runs for commit in row.get("commits") or []})


def _tuned(cell: Filled, result: Result) -> Entry:
    found = used(result.table, cell.cell)
    return Entry(
        mean=found.used or DASH,
        spread="",
        marks=MARKS["unprinted"] if found.note else "",
        paper=found.published,
        verdict=found.verdict,
        highlight="",
        hover="; ".join(text for text in (found.source, found.note) if text),
    )


def remarks(result: Result) -> list[str]:
    """Return the sentences below a table: labels first, then what is missing, then how to read it."""
    table, spec = result.table, result.table.spec
    if not table.has_runs:
        return [text for text in (spec["note"], f"{MARKS['unprinted']} not from the paper") if text]
    missing = result.count()[NOT_RUN]
    highlight = (
        "Green (bold): the best of its contest; orange (italics): within one standard deviation of it (the best's)."
    )
    marks = {
        "diverged": "some seeds diverged and count at chance level",
        "partial": "fewer seeds than planned",
        "unprinted": "some hyper-parameters are not from the paper",
        "worse": "worse than the best of its contest (Welch, Holm, p < 0.05)",
    }
    seen: Callable[[str], bool] = lambda name: any(MARKS[name] in _marks(cell) for cell in result.cells)  # noqa: E731
    texts = [
        f"Scale {result.scale}: {SCALES[result.scale]}." if result.scale in SCALES else "",
        "Made-up data: some runs are on stand-ins." if result.made_up else "",
        f"Re-creation: {spec['recreation']}" if spec["recreation"] else "",
        "" if result.comparable or not any(cell.published for cell in result.cells) else NOT_COMPARED,
        f"{missing} of {len(result.cells)} cells not run." if missing else "",
        spec["note"],
        highlight if spec["highlight"] != "none" and any(cell.highlight for cell in result.cells) else "",
        " ".join(f"{MARKS[name]} {text}." for name, text in marks.items() if seen(name)),
        power_note(result),
        _made_with(result),
    ]
    return [text for text in texts if text]


def _made_with(result: Result) -> str:
    """Say where the runs were made: devices, torch versions and commits; empty where there are no runs."""
    rows = [row for cell in result.cells for row in cell.runs]
    if not rows:
        return ""
    made = {str(commit)[:10] for row in rows for commit in row.get("commits") or []}
    torch = sorted({str(row.get("platform.torch")) for row in rows})
    word = "commit" if len(made) == 1 else "commits"
    devices = ", ".join(sorted({device(row) for row in rows}))
    return f"Runs made on {devices} with torch {', '.join(torch)}, {len(made)} {word}."
