"""What the papers print: where each number is shown, and their hyper-parameters beside what `tuned=` gives to a run."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from conf.errors import UsageError
from conf.tuned import lookup
from papers import table as tables
from papers.published import hyperparameters, numbers
from papers.table import Cell, Table
from reports.experiments import reason

if TYPE_CHECKING:
    from reports.cells import Result

Line = dict[str, Any]


def shown() -> dict[int, tuple[str, str, str]]:
    """Return, for each published number that a table shows (by its line), the first such table, row and column."""
    places: dict[int, tuple[str, str, str]] = {}
    for table in map(tables.load, tables.names()):
        for cell in table.cells() if table.has_runs else []:
            if (number := table.published(cell)) is not None:
                places.setdefault(number.line, (table.name, cell.row_label, cell.column_label))
    return places


def coverage(results: "Iterable[Result]") -> list[Line]:
    """Return one line for each published number: its place and the verdict there, or the reason why it has none."""
    verdicts = {
        (result.table.name, cell.cell.row_label, cell.cell.column_label): cell.verdict_text
        for result in results
        if result.own
        for cell in result.cells
    }
    places, lines = shown(), []
    for number in numbers():
        place = places.get(number.line, ("", "", ""))
        state = verdicts.get(place, "not run") if place[0] else f"not covered: {reason(number)}"
        lines.append(asdict(number) | dict(zip(("shown_in", "row", "column"), place, strict=True)) | {"state": state})
    return lines


@dataclass(frozen=True)
class Used:
    """A hyper-parameter of a cell: as printed, as used, where from. Empty texts where there is none."""

    published: str
    used: str
    verdict: str
    source: str
    note: str


def used(table: Table, cell: Cell) -> Used:
    """Look a hyper-parameter up in published/hyperparameters.csv and in papers/tuned."""
    place = {key: str(cell.coordinates.get(key, "*")) for key in ("data", "model", "optimizer")}
    name = str(cell.coordinates["name"])
    printed, source = _printed(table, place, name)
    value, note = _looked_up(table, place, f"optimizer.{name}")
    return Used(printed, value, _verdict(printed, value, note), source, note)


def _printed(table: Table, place: dict[str, str], name: str) -> tuple[str, str]:
    about = table.spec["published"]
    exact = {"paper": about.get("paper"), "optimizer": place["optimizer"], "name": name}
    any_too = {"dataset": place["data"], "model": place["model"]}
    fits = [
        row
        for row in hyperparameters()
        if all(row[key] == value for key, value in exact.items())
        and all(row[key] in (value, "*") for key, value in any_too.items())
    ]
    best = min(fits, key=lambda row: (row["table"] != about.get("table"), row["dataset"] == "*"), default=None)
    return (best["value"], best["source"]) if best else ("", "")


def _looked_up(table: Table, place: dict[str, str], name: str) -> tuple[str, str]:
    """Return the value of a key, or of an entry of its list (`optimizer.betas[0]`), and the note on it."""
    try:
        found = lookup(str(table.spec["tuned"]), place["data"], place["model"], place["optimizer"])
    except UsageError as error:
        return "", str(error)
    key, _, index = name.rstrip("]").partition("[")
    values = found.values.get(name, found.values.get(key))
    value = dict(enumerate(values)).get(int(index)) if index.isdecimal() and isinstance(values, list) else values
    note = found.notes.get(name, found.notes.get(key))
    return ("" if value is None else f"{value:g}" if isinstance(value, float) else str(value)), note or ""


def _verdict(printed: str, value: str, note: str) -> str:
    if note or not printed:
        return "not from the paper" if value else "printed nowhere"
    try:
        half = Fraction(10) ** int(Decimal(printed).as_tuple().exponent) / 2  # of the last digit: 1e-16 is no 1e-8
        close = abs(Fraction(printed) - Fraction(value)) <= min(half, Fraction(1, 2_000_000))  # six decimals at most
    except (ValueError, ArithmeticError):
        close = printed == value
    return "as printed" if close else "differs from the paper"
