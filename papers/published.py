"""The numbers that the papers print, looked up by their ids. Torch-free."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from conf.errors import UsageError

ROOT = Path(__file__).parent / "published"
KEYS = ("paper", "table", "dataset", "model", "optimizer", "metric")


@dataclass(frozen=True)
class Published:
    """One printed number. line: of published/results.csv, from 2. std and n are None where the source gives none."""

    line: int
    paper: str
    table: str
    dataset: str
    model: str
    optimizer: str
    setting: str
    metric: str
    mean: float | None
    std: float | None
    n: int | None
    source: str


@lru_cache
def numbers() -> tuple[Published, ...]:
    """Return every published number, in the order of the file."""
    return tuple(_published(line, row) for line, row in _rows("results.csv"))


@lru_cache
def hyperparameters() -> tuple[dict[str, str], ...]:
    """Return the hyper-parameters that the papers print: rows of hyperparameters.csv."""
    return tuple(row for _, row in _rows("hyperparameters.csv"))


def find(where: str, wanted: dict[str, Any]) -> Published | None:
    """Return the published number with these keys, None where there is none.

    `setting`: pieces, separated by `;`, that must all be pieces of the number's own setting; of several numbers that
    fit, the one with the fewest further pieces is meant. Raises UsageError, beginning with `where`, when several tie.
    """
    key = tuple(str(wanted.get(name)) for name in KEYS)
    pieces = _pieces(str(wanted.get("setting", "")))
    fits = [number for number in _index().get(key, ()) if pieces <= _pieces(number.setting)]
    fewest = min((len(_pieces(number.setting)) for number in fits), default=0)
    fits = [number for number in fits if len(_pieces(number.setting)) == fewest]
    if len(fits) > 1:
        settings = " | ".join(number.setting or "(none)" for number in fits)
        raise UsageError(
            f"{where}: published: {len(fits)} numbers fit {', '.join(key)}; name one setting of: {settings}"
        )
    return fits[0] if fits else None


def _rows(file: str) -> Iterator[tuple[int, dict[str, str]]]:
    with open(ROOT / file, newline="", encoding="utf-8") as stream:
        yield from enumerate(csv.DictReader(stream), start=2)


def _published(line: int, row: dict[str, str]) -> Published:
    mean, std = (float(row[key]) if row[key] else None for key in ("mean", "std"))
    n = int(row["n_seeds"]) if row["n_seeds"] else None
    texts = {key: row[key] for key in (*KEYS, "setting", "source")}
    return Published(line=line, mean=mean, std=std, n=n, **texts)


@lru_cache
def _index() -> dict[tuple[str, ...], list[Published]]:
    index: dict[tuple[str, ...], list[Published]] = {}
    for number in numbers():
        index.setdefault(tuple(getattr(number, name) for name in KEYS), []).append(number)
    return index


def _pieces(setting: str) -> set[str]:
    return {piece.strip() for piece in setting.split(";") if piece.strip()}
