"""`reports compare A B`: two optimizers over all tasks of the store, each by its best setting, paired by seed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan
from statistics import fmean, harmonic_mean

import numpy as np

from conf import metrics
from conf.errors import UsageError, unknown
from papers.table import METRICS
from reports.cells import better
from reports.layout import fixed
from reports.runs import Row, Runs, grouped, proper, scale, settings, value, variant
from reports.statistics import ALPHA, MOST, POWER, Comparison, Summary, paired, signed_ranks, summary, welch

FEWEST_TASKS = 6  # below that Wilcoxon's signed ranks cannot reach 5 %


@dataclass(frozen=True)
class Sample:
    """What an optimizer reached on a task, a value a seed, with the setting that was the best of `tried`."""

    rows: list[Row]
    metric: str
    tried: int

    @property
    def values(self) -> list[float]:
        return [value(row, self.metric) for row in self.rows]

    @property
    def summary(self) -> Summary:
        return summary(self.values)

    @property
    def seeds(self) -> list[int]:
        return [row["seed"] for row in self.rows]


def compare(runs: Runs, a: str, b: str, where: Sequence[str] = ()) -> str:
    """Compare two optimizers over all tasks that both have runs of, paired by seed where seeds match.

    where: `key=value` that the runs must have, e.g. `data=digits`, `optimizer.lr=0.1`, `scale=cpu`. Of several settings
    of an optimizer the best by validation counts, or, without validation images, the one with most seeds.
    Raises UsageError for a name that no run of the store has, and for a key that none knows.
    """
    rows = _chosen(runs.rows, where)
    known = {variant(row) for row in rows} | {str(row["optimizer"]) for row in rows}
    for name in (a, b):
        if name not in known:
            every = {str(row["optimizer"]) for row in runs.rows}
            if name in every:
                others = ", ".join(sorted(known)) or "no other either"
                raise UsageError(f"compare: no run of {name} has {' '.join(where)}; those that have: {others}")
            raise unknown("compare", name, known or every)
    pairs = _pairs(rows, a, b)
    lines, gains = [f"{proper(a)} against {proper(b)}: {len(pairs)} shared tasks"], []
    for task, x, y in pairs:
        kind, test = tested(x, y)
        gain = better(x.metric) * test.difference
        gains.append(gain)
        verdict = (
            f"{proper(a if gain > 0 else b)} better" if test.p < ALPHA else no_difference(test, x.summary, y.summary)
        )
        lines.append(
            f"  {task}: {fixed(x.summary.mean, x.metric)} against {fixed(y.summary.mean, y.metric)}, "
            f"{test.difference:+z.3f}, p {test.p:.3g} ({kind}, n {len(x.values)}{_tried(x, y)}): {verdict}"
        )
    return "\n".join([*lines, *_overall(gains, proper(a), proper(b))]) + "\n"


def _chosen(rows: Iterable[Row], where: Sequence[str]) -> list[Row]:
    kept = list(rows)
    for word in where:
        key, sign, wanted = word.partition("=")
        if not sign:
            raise UsageError(f"--where: {word!r} is not key=value, e.g. data=digits")
        name = {"scale": "labels.scale", "protocol": "labels.protocol"}.get(key, key)
        places = [place for place in (name, f"config.{name}") if any(place in row for row in kept)]
        if not places:
            raise unknown("--where", key, {k.removeprefix("config.") for row in kept for k in row if "config." in k})
        kept = [row for row in kept if str(row.get(places[0])) == wanted]
    return kept


def _pairs(rows: Iterable[Row], a: str, b: str) -> list[tuple[str, Sample, Sample]]:
    by_task = grouped(((_task(row), settings(row, without=("optimizer",))), row) for row in rows)
    found = []
    for members in by_task.values():
        mine, theirs = ([row for row in members if name in (variant(row), row["optimizer"])] for name in (a, b))
        if mine and theirs:
            found.append((_task(members[0]), _best(mine), _best(theirs)))
    known = [(task, x, y) for task, x, y in found if isfinite(x.summary.mean) and isfinite(y.summary.mean)]
    return sorted(known, key=lambda entry: entry[0])


def _task(row: Row) -> str:
    label = "" if scale(row) == "paper" else f" [scale {scale(row)}]"
    protocol = row.get("labels.protocol")
    return " ".join([str(row["data"]), str(row["model"]), *([str(protocol)] if protocol else [])]) + label


def _best(rows: list[Row]) -> Sample:
    groups = list(grouped((str(row["group_id"]), row) for row in rows).values())
    metric = main_metric(rows[0])
    best = max(groups, key=lambda members: (validation_score(members, metric), len(members)))
    return Sample(sorted(best, key=lambda row: int(row["seed"])), metric, len(groups))


def main_metric(row: Row) -> str:
    """Return the first of the papers' metrics that a run measured on its test images."""
    measured = (name for name in METRICS if name.startswith("test_") and isfinite(value(row, name)))
    return next(measured, "test_loss")


def validation_score(rows: Sequence[Row], metric: str) -> float:
    """Return the mean over seeds on validation images, higher is better; -inf without any, or a seed that diverged."""
    name = f"validation_{metrics.parted(METRICS[metric].get('of', metric))[1]}"
    scores = [row.get(f"metrics.{name}") for row in rows if row["state"] == "done"]
    known = [float(score) for score in scores if score is not None]
    return better(metric) * fmean(known) if known and len(known) == len(rows) else -np.inf


def tested(x: Sample, y: Sample) -> tuple[str, Comparison]:
    """Compare two samples by the paired t test where their seeds match, else by Welch's; returns its name, too."""
    if x.seeds == y.seeds:
        return "paired", paired(x.values, y.values)
    return "Welch", welch(x.summary, y.summary)


def _tried(x: Sample, y: Sample) -> str:
    return f"; best of {x.tried} and {y.tried} settings by validation" if max(x.tried, y.tried) > 1 else ""


def no_difference(test: Comparison, x: Summary, y: Summary, effect: float = nan) -> str:
    """Say of a difference that is not significant what the seeds could have shown.

    effect: the difference that matters; that seen where it is NaN.
    """
    if isnan(test.p):
        return f"nothing can be said {'from one seed' if min(x.n, y.n) < 2 else 'without spread'}"
    sought = effect if isfinite(effect) else test.difference
    if not sought or test.power(sought) >= POWER:
        return "no difference found"
    n = test.needed(harmonic_mean([x.n, y.n]), sought)
    return f"inconclusive; one of this size would need {n or f'over {MOST}'} seeds a side for 80 % power"


def _overall(gains: list[float], a: str, b: str) -> list[str]:
    if not gains:
        return ["  nothing to compare: no task has runs of both"]
    wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    equal = len(gains) - wins - losses
    text = f"  {a} ahead in {wins}, {b} in {losses}, equal in {equal}; mean gain {np.mean(gains):+z.3f}"
    if wins + losses < FEWEST_TASKS:
        return [text, f"  a test over tasks needs at least {FEWEST_TASKS} of them that differ"]
    return [
        text,
        f"  Wilcoxon over tasks: p {signed_ranks(gains):.3g}; tasks that share a data set are not independent",
    ]
