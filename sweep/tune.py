"""Tuning on validation images: a declared grid, as many trials for every optimizer, and the winner in a file.

    grids:
      sgd: {optimizer.lr: [0.05, 0.1, 0.2]}
      sing: {optimizer.lr: [1.0e-3, 5.0e-3, 1.0e-2]}
      adamw: {search: {kind: sobol, n: 3, space: {optimizer.lr: {log: [1.0e-4, 1.0e-2]}}}}
    unequal: why the numbers of trials differ     # without this line they may not

The files of papers/tuned hold the papers' grids in this form. What is written is read by `tuned=FILE`.
"""

import fcntl
import itertools
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from conf import groups, metrics, yamls
from conf.check import check_seeds
from conf.compose import compose
from conf.errors import UsageError, require_known
from conf.grammar import parse, word
from conf.tuned import file, read
from papers.grid import keys
from papers.sweepfile import draws, number
from record.files import write_atomic
from record.read import exact, read_result
from record.schema import Result
from sweep.plan import Planned, option
from sweep.wanted import Wanted, Words

Settings = dict[str, Any]
HELD_OUT = "data.validation"


@dataclass(frozen=True)
class Tuning:
    """What is tuned. cells: the table's command lines, of the chosen optimizers, without their seeds. grids: a file's.

    validation: the share of the training images that is held out. metric: what the best trial has most of.
    """

    cells: tuple[Words, ...]
    grids: dict[str, Any]
    validation: float
    seeds: list[int]
    metric: str

    def trials(self) -> dict[Words, Settings]:
        """Return the command lines of all trials, and what each tries.

        Raises UsageError for an optimizer without a grid, and for unequal numbers of trials that the file gives no
        reason for.
        """
        points = {name: _points(self.grids["grids"], name) for name in map(_optimizer, self.cells)}
        self._require_equal({name: len(tried) for name, tried in points.items()})
        return {
            trial(cell, point, self.validation, seed): point
            for cell in self.cells
            for point, seed in itertools.product(points[_optimizer(cell)], self.seeds)
        }

    def number(self) -> int:
        """Return how many points are searched for each optimizer: `n` of its `search`."""
        counts = {name: number(_search(self.grids["grids"], name)) for name in map(_optimizer, self.cells)}
        self._require_equal(counts)
        return max(counts.values())

    def space(self, cell: Words) -> Any:
        """Return the declared space of a cell's optimizer."""
        return _search(self.grids["grids"], _optimizer(cell)).get("space")

    def _require_equal(self, counts: dict[str, int]) -> None:
        if len(set(counts.values())) > 1 and not self.grids.get("unequal"):
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise UsageError(f"grids: {listed} trials; make them equal, or say why not in `unequal:`")


def tuning(
    asked: Wanted, grids: str, validation: float, seeds: Sequence[int], only: Sequence[str], metric: str
) -> Tuning:
    """Return what is tuned of a table. grids: a paper or a file. only: its optimizers, all where there are none."""
    content, seeds = _read(grids), check_seeds("tune", list(seeds))
    cells = dict.fromkeys(tuple(w for w in words if not w.startswith("seed=")) for words in asked.words)
    require_known("--only", only, set(map(_optimizer, cells)))
    chosen = tuple(cell for cell in cells if not only or _optimizer(cell) in only)
    _require_apart(chosen)
    first = {(option(cell, "data", "digits"), option(cell, "protocol", "none")): cell for cell in reversed(chosen)}
    _check_metric(metric, first.values())  # optimizers and nets change no metric
    return Tuning(chosen, content, validation, seeds, metric)


def trial(cell: Words, point: Settings, validation: float, seed: int) -> Words:
    """Return the command line of a trial: a cell with a point's values, judged by images that are held out."""
    values = point | _held_out(cell, validation) | {"seed": seed}
    kept = [w for w in cell if w.partition("=")[0] not in values]
    return (*kept, *(word(key, value) for key, value in values.items()))


def require_tuned(path: Path) -> None:
    """Raise UsageError, before anything runs, where a file is there that holds no tuned values."""
    if path.exists():
        read(str(path))


def _require_apart(cells: Sequence[Words]) -> None:
    """Raise UsageError for two cells whose winners a file of tuned values could not tell apart."""
    seen: dict[tuple[str, ...], Words] = {}
    shared = _shared(cells)
    for cell in cells:
        place = [option(cell, group, "") for group in ("data", "model", "optimizer")]
        other = seen.setdefault((*place, *_fixed(cell, {}, shared)), cell)
        if differing := set(cell) ^ set(other):
            words = " ".join(sorted(differing))
            raise UsageError(f"tune: cells that differ in {words} alone share a tuned value; tune one at a time")


def require_one_place(cells: Iterable[Words]) -> None:
    """Raise UsageError for several data sets and nets: each has a winner of its own, and none is for all."""
    places = {" ".join(option(cell, group, "") for group in ("data", "model")) for cell in cells}
    if len(places) > 1:
        raise UsageError(
            f"--everywhere: {', '.join(sorted(places))} have winners of their own; choose one data=, model="
        )


def _check_metric(metric: str, cells: Iterable[Words]) -> None:
    """Raise UsageError, before anything runs, unless the runs of every cell are scored by `metric`."""
    configs = (compose([*cell]) for cell in cells)
    known = {(c["task"]["name"], c["data"]["num_classes"]) for c in configs}
    shared = set.intersection(*(set(metrics.measured(*one)) for one in known))
    require_known("--metric", [metric], {f"{split}_{name}" for split in metrics.SPLITS for name in shared})


def write(
    path: Path,
    runs: Iterable[Planned],
    settings: dict[Words, Settings],
    store: Path,
    metric: str,
    everywhere: bool = False,
) -> list[str]:
    """Write the winners of finished trials to a file for `tuned=FILE`; returns one line each.

    Entries of other optimizers that the file has already stay. everywhere: the winners are for every data set and net,
    not for those of their trials alone.
    """
    scores: dict[tuple[str, ...], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    points: dict[str, Settings] = {}
    shared = _shared(settings)
    for run in runs:
        if run.words in settings:
            key = " ".join(word(name, value) for name, value in settings[run.words].items())
            points[key] = settings[run.words]
            names = (*run.names, *_fixed(run.words, settings[run.words], shared))
            scores[names][key].append(score(read_result(store / run.folder), metric))
    entries = {" ".join(names): _entry(names, tried, points, metric) for names, tried in scores.items()}
    for entry in entries.values() if everywhere else ():
        entry |= {"data": "*", "model": "*"}
    _add(path, list(entries.values()))
    return [f"{names}: {entry['set']} ({entry['from']})" for names, entry in entries.items()]


def _add(path: Path, entries: list[Settings]) -> None:
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = [_place(entry) for entry in entries]
    with _alone(path.parent):
        before = yamls.mapping(str(path), yamls.load(path)) if path.is_file() else {}
        kept = [entry for entry in before.get("entries", []) if _place(entry) not in ours]
        head = "# Written by `python -m sweep tune`; every trial is in the store.\n"
        write_atomic(path, (head + yamls.dump(before | {"entries": kept + entries})).encode())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let no other `sweep tune` add to a file of this folder meanwhile, where the file system can lock one."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _place(entry: Settings) -> Settings:
    return {key: entry.get(key, "*") for key in ("optimizer", "data", "model", "where")}


def _entry(names: tuple[str, ...], tried: dict[str, list[float]], points: dict[str, Settings], metric: str) -> Settings:
    """Choose the best mean over seeds; of equals the first of the grid, so that the choice repeats."""
    means = {key: _mean(values) for key, values in tried.items()}
    best = max(means, key=lambda key: means[key])
    if means[best] == -math.inf:
        raise UsageError(f"tune: every trial of {' '.join(names)} diverged or has no {metric}")
    best_mean = f"best mean {metric} {abs(float(means[best])):.5g} of {len(tried)} trials"
    words = f"{best_mean} on {metrics.parted(metric)[0]} images, {len(tried[best])} seed(s) each"
    edge = _edges(points[best], [points[key] for key in tried])
    words += f"; at the edge of its grid: {', '.join(edge)}" if edge else ""
    data, model, optimizer, *fixed = names
    values = {override.key_or_group: override.value() for override in parse(fixed)}
    where = {f"{key}.name" if key in groups.GROUPS else key: value for key, value in values.items()}
    entry = {"optimizer": optimizer, "data": data, "model": model, "set": points[best], "from": words}
    return entry | ({"where": where} if where else {})


def _mean(scores: Sequence[float]) -> Fraction | float:
    """Return the mean of a setting's seeds, in counts where scores are such; the worst of all if a seed has none."""
    return sum(map(exact, scores)) / len(scores) if all(map(math.isfinite, scores)) else -math.inf


def score(result: Result | None, metric: str) -> float:
    """Return a number of which more is better; a trial that diverged, or has no number, is worse than any other."""
    score = result["metrics"].get(metric) if result and result.get("state") != "diverged" else None
    if score is None or not math.isfinite(score):
        return -math.inf
    return float(metrics.metric(metric).sign * score)


def _edges(best: Settings, tried: Sequence[Settings]) -> list[str]:
    """Name the numbers that could be better outside the grid."""
    numbers = {key: {point[key] for point in tried if type(point[key]) in (int, float)} for key in best}
    return [k for k, values in numbers.items() if len(values) > 1 and best[k] in (min(values), max(values))]


def _points(grids: dict[str, Any], optimizer: str) -> list[Settings]:
    axes = _axes(grids, optimizer)
    if "search" in axes:
        return draws(_search(grids, optimizer))
    lists = [yamls.values(f"grids: {key}", values) for key, values in axes.items()]
    if not lists or not all(lists):
        raise UsageError(f"grids: {optimizer}: {axes!r} tries nothing")
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*lists)]


def _axes(grids: dict[str, Any], optimizer: str) -> dict[str, Any]:
    """Return what is tried of an optimizer; one grid may hold for all."""
    shared = all("." in key for key in grids)
    if not shared:
        require_known("grids", [optimizer], grids)
    return keys(f"grids.{optimizer}", grids if shared else grids[optimizer])


def _search(grids: dict[str, Any], optimizer: str) -> dict[str, Any]:
    return yamls.mapping(f"grids.{optimizer}.search", _axes(grids, optimizer).get("search"))


def _read(grids: str) -> dict[str, Any]:
    path = file("--grids", grids)
    content = yamls.load(path)
    if not isinstance(content, dict) or not isinstance(content.get("grids"), dict):
        raise UsageError(f"--grids: {path} has no mapping `grids`")
    return content


def _shared(trials: Iterable[Words]) -> set[str]:
    """Return the words of every trial."""
    return set.intersection(*map(set, trials))


def _fixed(words: Words, point: Settings, shared: set[str]) -> list[str]:
    """Return the values that tell a cell from others of its data, net and optimizer, and that no trial changes."""
    named = {w: w.partition("=")[0] for w in words}
    told = {*groups.root(), "schedule", "budget"} - {"seed", "tuned", "source"}  # without a dot, and in a configuration
    own = [w for w, key in named.items() if ("." in key or key in told) and key not in (*point, HELD_OUT)]
    return [w for w in own if w.startswith("optimizer.") or w not in shared]


def _held_out(cell: Words, validation: float) -> Settings:
    """Hold a share of the training images out, unless the data set has validation images of its own."""
    own = groups.raw("data", option(cell, "data", "digits")).get("validation")
    if own is None:  # found in the user's files
        own = compose([*cell])["data"]["validation"]
    return {HELD_OUT: validation} if own == 0.0 and isinstance(own, float) else {}


def _optimizer(cell: Words) -> str:
    return option(cell, "optimizer", "adamw")
