"""The runs of a store, found by what they are: the only place where reports know the names of a result's fields."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from math import nan
from pathlib import Path
from typing import Any, TypeVar

from conf import groups
from conf.compose import composed
from papers.table import METRICS, Cell
from record import group_id, read_store, semantic

Row = dict[str, Any]
K = TypeVar("K")
V = TypeVar("V")
Words = tuple[str, ...]
Identify = Callable[[list[Cell]], tuple[dict[Words, str], dict[Words, str]]]
KINDS = ("data", "model", "optimizer", "labels.scale", "labels.protocol")
# What a run that diverged scores, in percent, given the number of classes. A metric that is not here has no such value.
CHANCE: dict[str, Callable[[int], float]] = {
    "top1": lambda classes: 100.0 / classes,
    "top5": lambda classes: min(100.0, 500.0 / classes),
    "auc": lambda classes: 50.0,
    "label_accuracy": lambda classes: 50.0,
    "accuracy": lambda classes: 0.0,
}


@dataclass
class Runs:
    """Finished runs by group id. complaints: one line for each run that was left out."""

    rows: list[Row]
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.by_group = grouped((row["group_id"], row) for row in self.rows)

    def of(self, group: str | None, seeds: Iterable[int]) -> list[Row]:
        """Return a group's runs with these seeds, in order of seed, one for each."""
        wanted = set(seeds)
        found = {row["seed"]: row for row in self.by_group.get(group or "", []) if row["seed"] in wanted}
        return [found[seed] for seed in sorted(found)]

    def candidates(self, names: Row) -> bool:
        """Tell whether any run has these names of data, model and optimizer, and these labels."""
        return any(all(kind.get(key) == name for key, name in names.items()) for kind in self._kinds)

    @cached_property
    def _kinds(self) -> list[Row]:
        seen = {tuple(row.get(key) for key in KINDS) for row in self.rows}
        return [dict(zip(KINDS, kind, strict=True)) for kind in seen]

    def scales(self) -> list[str]:
        """Return the scales that occur, `paper` first and always."""
        return ["paper", *sorted({scale(row) for row in self.rows} - {"paper"})]


def read(store: Path | str) -> Runs:
    """Read a store's finished runs. Raises FileNotFoundError, one line, when there is none."""
    if not Path(store).is_dir():
        raise FileNotFoundError(f"--store: no store at {store}; runs are written to runs/ unless told otherwise")
    return Runs(*read_store(store))


def identify(runs: Runs) -> Identify:
    """Return a function from cells to the group ids of their overrides, and the reasons of those without.

    Only cells are composed whose data, model and optimizer occur in the store at all; the others have no runs anyway.
    """

    def resolve(cells: list[Cell]) -> tuple[dict[Words, str], dict[Words, str]]:
        configs, reasons = composed({cell.overrides for cell in cells if runs.candidates(_names(cell))})
        return {words: group_id(semantic(config)) for words, config in configs.items()}, reasons

    return resolve


def _names(cell: Cell) -> Row:
    """Return what a cell's runs must have: names, or, where a scale swaps data and net, the labels of its protocol."""
    chosen = dict(word.split("=", 1) for word in cell.overrides)
    groups_fixed = ("optimizer",) if "scale" in chosen else ("data", "model", "optimizer")
    fixed = {g: chosen[g] for g in groups_fixed if chosen.get(g) in groups.options(g) and f"{g}.name" not in chosen}
    names = {group: str(groups.raw(group, option).get("name", option)) for group, option in fixed.items()}
    labels = {f"labels.{key}": chosen[key] for key in ("scale", "protocol") if key in chosen and "scale" in chosen}
    return names | labels


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


def notes(row: Row) -> dict[str, str]:
    """Return the hyper-parameters of a run that no source prints, with the reason for their values."""
    prefix = "labels.notes."
    return {key.removeprefix(prefix): str(note) for key, note in row.items() if key.startswith(prefix)}


def scale(row: Row) -> str:
    return str(row.get("labels.scale") or "paper")


def synthetic(row: Row) -> bool:
    """Tell whether a run was made on synthetic data in a set's real format; results know the key by its first name."""
    return bool(row.get("config.data.stand_in"))
