"""The runs of a store, found by what they are: the only place where reports know the names of a result's fields."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import nan
from pathlib import Path
from typing import Any, TypeVar

from conf import groups
from conf.compose import composed
from papers.table import METRICS, SCALES, Cell
from record.identity import group_id, semantic
from record.read import read_store
from record.source import changed

Row = dict[str, Any]
K = TypeVar("K")
V = TypeVar("V")
Words = tuple[str, ...]
Identify = Callable[[list[Cell]], tuple[dict[Words, str], dict[Words, str]]]
KINDS = ("data", "model", "optimizer")
DESCRIBING = ("name", "label", "target", "decay")
# What a run that diverged scores, given the number of classes: what guessing does. A metric that is not here has none.
CHANCE: dict[str, Callable[[int], float]] = {
    "top1": lambda classes: 100.0 / classes,
    "top5": lambda classes: min(100.0, 500.0 / classes),
    "attacked_top1": lambda classes: 100.0 / classes,
    "auc": lambda classes: 50.0,
    "label_accuracy": lambda classes: 50.0,
    "accuracy": lambda classes: 0.0,
    "perplexity": float,
    "bleu": lambda classes: 0.0,
}


@dataclass
class Runs:
    """Finished runs by group id. complaints: one line for each run that was left out."""

    rows: list[Row]
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.by_group = grouped((row["group_id"], row) for row in self.rows)
        for row in _overlapping(self.rows):
            row["shared"] = True

    def of(self, group: str | None, seeds: Iterable[int]) -> list[Row]:
        """Return a group's runs with these seeds, in order of seed, one for each."""
        wanted = set(seeds)
        found = {row["seed"]: row for row in self.by_group.get(group or "", []) if row["seed"] in wanted}
        return [found[seed] for seed in sorted(found)]

    def candidates(self, names: Row) -> bool:
        """Tell whether any run has these names of data, model and optimizer."""
        return any(all(kind.get(key) == name for key, name in names.items()) for kind in self._kinds)

    @cached_property
    def _kinds(self) -> list[Row]:
        seen = {tuple(row.get(key) for key in KINDS) for row in self.rows}
        return [dict(zip(KINDS, kind, strict=True)) for kind in seen]

    @cached_property
    def other_code(self) -> int:
        """How many runs were made by other code than today's."""
        return sum(map(bool, map(changed, self.rows)))

    def scales(self) -> list[str]:
        """Return the scales that occur and that tables have, `paper` first and always."""
        return ["paper", *sorted({scale(row) for row in self.rows} & {*SCALES} - {"paper"})]


def read(*stores: Path | str) -> Runs:
    """Read the finished runs of one or more stores; of a run that several have, the first store's counts.

    Raises FileNotFoundError, one line, for a store that is not there.
    """
    rows: dict[str, Row] = {}
    complaints: list[str] = []
    for store in stores:
        if not Path(store).is_dir():
            raise FileNotFoundError(f"--store: no store at {store}; runs are written to runs/ unless told otherwise")
        found, left_out = read_store(store)
        rows = {row["id"]: row for row in found} | rows
        complaints += left_out
    return Runs(list(rows.values()), complaints)


def _overlapping(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the runs that shared their machine: another run of the store was under way on it at the same time."""
    timed = [row for row in rows if row.get("started") and row.get("finished")]
    for members in grouped(((row.get("machine.host"), device(row)), row) for row in timed).values():
        spans = [(*span, row) for row in members for span in row.get("spans", [[row["started"], row["finished"]]])]
        latest: tuple[float, Row] | None = None
        for begin, end, row in sorted(spans, key=lambda span: float(span[0])):
            if latest is not None and begin < latest[0] and row is not latest[1]:
                yield from (latest[1], row)
            latest = (end, row) if latest is None or end > latest[0] else latest


def identify(runs: Runs) -> Identify:
    """Return a function from cells to the group ids of their overrides, and the reasons of those without.

    Only cells are composed whose data, model and optimizer occur in the store at all; the others have no runs anyway.
    """

    def resolve(cells: list[Cell]) -> tuple[dict[Words, str], dict[Words, str]]:
        configs, reasons = composed({cell.overrides for cell in cells if runs.candidates(_names(cell))})
        return {words: group_id(semantic(config)) for words, config in configs.items()}, reasons

    return resolve


def _names(cell: Cell) -> Row:
    """Return the names that a cell's runs must have: of its optimizer alone where a scale swaps data and net."""
    chosen = dict(word.split("=", 1) for word in cell.overrides)
    groups_fixed = ("optimizer",) if "scale" in chosen else ("data", "model", "optimizer")
    fixed = {g: chosen[g] for g in groups_fixed if chosen.get(g) in groups.options(g) and f"{g}.name" not in chosen}
    return {group: str(groups.raw(group, option).get("name", option)) for group, option in fixed.items()}


def grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Collect the values of each key, both in order of appearance."""
    groups: dict[K, list[V]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def diverged(row: Row) -> bool:
    return str(row["state"]) == "diverged"


def value(row: Row, metric: str) -> float:
    """Return a run's metric in the papers' unit; chance level for a run that diverged; NaN where there is none."""
    about = METRICS.get(metric, {})
    if diverged(row):
        return _chance(row, metric)
    found = row.get(f"metrics.{about.get('of', metric)}")
    return nan if found is None else float(found) * about.get("times", 1.0)


def _chance(row: Row, metric: str) -> float:
    kind = metric.partition("_")[2]
    return CHANCE[kind](row.get("config.data.num_classes") or 2) if kind in CHANCE else nan


def device(row: Row) -> str:
    """Return what a run's times were taken on; times of different devices are never mixed."""
    return str(row.get("machine.gpu") or row.get("machine.cpu") or row.get("platform.device") or "unknown device")


def made_with(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Return the devices, torch versions and (shortened) commits that made these runs, each sorted."""
    rows = list(rows)
    return {
        "devices": sorted({device(row) for row in rows}),
        "torch": sorted({str(row.get("platform.torch")) for row in rows}),
        "commits": sorted({str(commit)[:10] for row in rows for commit in row.get("commits") or []}),
    }


def settings(row: Row, without: Words) -> frozenset[tuple[str, str]]:
    """Return a run's configuration but for its seed and the keys `without`, to find runs that differ in these alone."""
    left = ("config.seed", *(f"config.{key}" for key in without))
    return frozenset(
        (key, str(value)) for key, value in row.items() if key.startswith("config.") and not key.startswith(left)
    )


def variant(row: Row) -> str:
    """Return a run's optimizer with those of its words that are not its yaml's: `sing eps`, but `sing`."""
    name = str(row["optimizer"])
    own = {key: row.get(f"config.optimizer.{key}", usual) for key, usual in _words(name).items()}
    return " ".join([name, *(str(value) for key, value in own.items() if value != _words(name)[key])])


@lru_cache
def _words(optimizer: str) -> dict[str, str]:
    """Return the keys of an optimizer's yaml that take a word, with its default."""
    known = optimizer in groups.options("optimizer") and optimizer not in groups.plugins()
    content = groups.raw("optimizer", optimizer) if known else {}
    return {key: value for key, value in content.items() if isinstance(value, str) and key not in DESCRIBING}


def proper(name: str) -> str:
    """Return the proper name of an optimizer's id and what tells it from others of it: `SING (eps)` of `sing eps`."""
    first, *rest = name.split(" ")
    plain = " ".join(word for word in rest if "=" not in word)
    return " ".join([groups.label(first), *([f"({plain})"] if plain else []), *(word for word in rest if "=" in word)])


def notes(row: Row) -> dict[str, str]:
    """Return the hyper-parameters of a run that no source prints, with the reason for their values."""
    prefix = "labels.notes."
    return {key.removeprefix(prefix): str(note) for key, note in row.items() if key.startswith(prefix)}


def scale(row: Row) -> str:
    return str(row.get("labels.scale") or "paper")


def synthetic(row: Row) -> bool:
    """Tell whether a run was made on synthetic data in a set's real format; results know the key by its first name."""
    return bool(row.get("config.data.stand_in"))
