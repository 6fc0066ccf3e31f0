"""Tables of hyper-parameters: what the paper prints beside what `tuned=` gives to a run."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from conf.errors import UsageError
from conf.tuned import lookup
from papers.published import hyperparameters
from papers.table import Cell, Table


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
    value, note = _looked_up(table, place, name)
    return Used(printed, value, _verdict(printed, value, note), source, note)


def _printed(table: Table, place: dict[str, str], name: str) -> tuple[str, str]:
    wanted = {"paper": table.spec["published"].get("paper"), "optimizer": place["optimizer"], "name": name}
    fits = [
        row
        for row in hyperparameters()
        if all(row[key] == value for key, value in wanted.items())
        and row["dataset"] in (place["data"], "*")
        and row["model"] in (place["model"], "*")
    ]
    exact = sorted(fits, key=lambda row: (row["table"] != table.spec["published"].get("table"), row["dataset"] == "*"))
    return (exact[0]["value"], exact[0]["source"]) if exact else ("", "")


def _looked_up(table: Table, place: dict[str, str], name: str) -> tuple[str, str]:
    try:
        found = lookup(str(table.spec["tuned"]), place["data"], place["model"], place["optimizer"])
    except UsageError as error:
        return "", str(error)
    key, _, index = f"optimizer.{name}".rstrip("]").partition("[")
    values: Any = found.values.get(f"optimizer.{name}", found.values.get(key))
    values = values[int(index)] if index and isinstance(values, list) else values
    note = found.notes.get(f"optimizer.{name}", found.notes.get(key))
    return ("" if values is None else f"{values:g}" if isinstance(values, float) else str(values)), note or ""


def _verdict(printed: str, value: str, note: str) -> str:
    if note or not printed:
        return "not from the paper" if value else "printed nowhere"
    try:
        close = abs(Fraction(printed) - Fraction(value)) <= Fraction(1, 2_000_000)  # printed to six decimals
    except ValueError:
        close = printed == value
    return "as printed" if close else "differs from the paper"
