"""Which runs a table (papers/table.py) or a sweep file (papers/sweepfile.py) asks for, as command lines of train.py."""

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf import grammar, yamls
from conf.errors import UsageError, require_known
from papers import sweepfile
from papers import table as tables

Words = tuple[str, ...]
SCALES = tables.SCALES


@dataclass(frozen=True)
class Wanted:
    """The runs of one table or sweep file. words: one command line a run, in order, each once.

    distinct: two command lines may not stand for one configuration (in a table two cells may share a run).
    """

    name: str
    words: tuple[Words, ...]
    distinct: bool


def wanted(name: str, scale: str = "paper") -> Wanted:
    """Read a table by name or path, or a sweep file by path.

    Raises UsageError, one line, for what does not exist, an empty grid, or a run that is asked for twice.
    """
    require_known("scale", [scale], SCALES)
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        content = yamls.mapping(name, yamls.load(path))
        if "grid" in content or "search" in content:
            return _sweep_file(path.stem, content, scale)
    return _table(tables.load(name), scale)


def _table(table: tables.Table, scale: str) -> Wanted:
    if not table.has_runs:
        raise UsageError(f"table {table.name}: shows tuned values and has no runs")
    cells = table.cells(scale)
    shown = [(*cell.overrides, f"metric={cell.metric}") for cell in cells]
    if scale == "paper":
        _refuse_twice(table.name, shown)
    words = dict.fromkeys(tuple(run) for cell in cells for run in cell.runs())
    return Wanted(table.name, tuple(words), distinct=False)


def _sweep_file(name: str, content: dict[str, Any], scale: str) -> Wanted:
    asked = sweepfile.read(name, content, small=scale == "smoke")
    fixed = asked.fixed | ({} if scale == "paper" else {"scale": scale})
    words = [_words(fixed | point | {"seed": seed}) for point, seed in itertools.product(asked.points, asked.seeds)]
    _refuse_twice(name, words)
    return Wanted(name, tuple(words), distinct=scale == "paper")


def _words(point: dict[str, Any]) -> Words:
    return tuple(grammar.word(key, value) for key, value in point.items())


def _refuse_twice(name: str, words: Iterable[Words]) -> None:
    for line, times in Counter(words).items():
        if times > 1:
            raise UsageError(f"{name}: the same run twice: {' '.join(line)}")
