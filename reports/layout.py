"""A filled table as a grid of texts, before any format: the text of each cell, and the remarks below the table."""

import shlex
from dataclasses import dataclass
from math import isfinite

from papers.table import METRICS
from reports.cells import COMPLETE, NOT_RUN, Filled, Result, power_note
from reports.published import Used
from reports.runs import made_with
from reports.statistics import ALPHA, half_width

DASH = "–"
SCALES = {
    "cpu": "smaller data and nets than the paper's",
    "smoke": "two steps on tiny or synthetic data; the numbers say nothing of an optimizer",
}
NOT_COMPARED = "Published numbers are shown beside and not compared: not the same experiment."
MARKS = {"diverged": "†", "partial": "‡", "unprinted": "°", "worse": "*"}


@dataclass(frozen=True)
class Entry:
    """The texts of a cell, empty where there is none. spread: what follows the plus-minus sign."""

    mean: str = ""
    spread: str = ""
    marks: str = ""
    paper: str = ""
    verdict: str = ""
    highlight: str = ""
    hover: str = ""

    @property
    def main(self) -> str:
        return self.mean + (f" ± {self.spread}" if self.spread else "") + self.marks


@dataclass(frozen=True)
class Grid:
    """Labels and entries in order of layout."""

    name: str
    title: str
    corner: str
    rows: list[str]
    columns: list[str]
    entries: dict[tuple[str, str], Entry]
    remarks: list[str]

    def line(self, row: str) -> list[Entry]:
        """Return the entries of a row, an empty one where there is no cell."""
        return [self.entries.get((row, column), EMPTY) for column in self.columns]


EMPTY = Entry()


def grid(result: Result) -> Grid:
    """Lay a filled table out."""
    cells = [cell.cell for cell in result.cells]
    return Grid(
        name=result.table.name,
        title=result.table.title,
        corner=METRICS.get(str(result.table.spec["metric"]), {}).get("short", ""),
        rows=list(dict.fromkeys(cell.row_label for cell in cells)),
        columns=list(dict.fromkeys(cell.column_label for cell in cells)),
        entries={(c.cell.row_label, c.cell.column_label): _entry(c, result) for c in result.cells},
        remarks=remarks(result),
    )


def fixed(number: float, metric: str) -> str:
    """Write a number with the digits of its metric; a dash for NaN."""
    return f"{number:z.{METRICS.get(metric, {}).get('digits', 2)}f}" if isfinite(number) else DASH


def _entry(cell: Filled, result: Result) -> Entry:
    if cell.used is not None:
        return _tuned(cell.used)
    metric = cell.cell.metric
    spread = half_width(cell.summary) if result.table.spec["show"] == "mean_ci" else cell.summary.std
    return Entry(
        mean=fixed(cell.summary.mean, metric),
        spread=fixed(spread, metric) if isfinite(spread) and isfinite(cell.summary.mean) else "",
        marks=_marks(cell),
        paper=_paper(cell),
        verdict="" if cell.verdict == COMPLETE else _verdict(cell),
        highlight=cell.highlight,
        hover=_hover(cell),
    )


def _verdict(cell: Filled) -> str:
    return cell.verdict_text + (f", {cell.against.errors:+z.1f} se" if isfinite(cell.against.errors) else "")


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
        f"commits {', '.join(made_with(cell.runs)['commits'])}" if cell.runs else "",
        *(f"{key}: {note}" for key, note in sorted(cell.notes.items())),
        f"again: {again(cell)}",
        f"paper: {cell.published.setting or 'no setting'}; {cell.published.source}" if cell.published else "",
    ]
    return "; ".join(part for part in parts if part)


def again(cell: Filled) -> str:
    """Return the one command that makes a cell's runs again, to be pasted into a shell."""
    seeds = ",".join(map(str, cell.cell.seeds))
    return shlex.join(["python", "train.py", "-m", *cell.cell.overrides, f"seed={seeds}"])


def _tuned(found: Used) -> Entry:
    return Entry(
        mean=found.used or DASH,
        marks=MARKS["unprinted"] if found.note else "",
        paper=found.published,
        verdict=found.verdict,
        hover="; ".join(text for text in (found.source, found.note) if text),
    )


def remarks(result: Result) -> list[str]:
    """Return the sentences below a table: labels first, then what is missing, then how to read it."""
    table, spec = result.table, result.table.spec
    if not table.has_runs:
        return [text for text in (spec["note"], f"{MARKS['unprinted']} not from the paper") if text]
    missing = result.count()[NOT_RUN]
    highlight = (
        "Green (bold): the best of its group; orange (italics): within one standard deviation of it (the best's)."
    )
    marks = {
        "diverged": "some seeds diverged and count at chance level",
        "partial": "fewer seeds than planned",
        "unprinted": "some hyper-parameters are not from the paper",
        "worse": "worse than the best of its group (Welch, Holm, p < 0.05)",
    }
    seen = "".join(map(_marks, result.cells))
    texts = [
        f"Scale {result.scale}: {SCALES[result.scale]}." if result.scale in SCALES else "",
        "Synthetic data: some runs are on generated data in the format of a real set." if result.synthetic else "",
        f"Re-creation: {spec['recreation']}" if spec["recreation"] else "",
        "" if result.comparable or not any(cell.published for cell in result.cells) else NOT_COMPARED,
        f"{missing} of {len(result.cells)} cells not run." if missing else "",
        spec["note"],
        highlight if spec["highlight"] != "none" and any(cell.highlight for cell in result.cells) else "",
        " ".join(f"{MARKS[name]} {text}." for name, text in marks.items() if MARKS[name] in seen),
        power_note(result),
        _made_with(result),
    ]
    return [text for text in texts if text]


def _made_with(result: Result) -> str:
    """Tell what made the runs: devices, torch versions and the number of commits; empty where there are no runs."""
    if not result.runs:
        return ""
    devices, torch, commits = made_with(result.runs).values()
    word = "commit" if len(commits) == 1 else "commits"
    return f"Runs made on {', '.join(devices)} with torch {', '.join(torch)}, {len(commits)} {word}."
