"""`reports compare A B`: two optimizers over all tasks of the store, each by its best setting, paired by seed."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite, isnan, nan
from statistics import fmean, harmonic_mean

import numpy as np

from conf import grammar, groups, metrics
from conf.errors import UsageError, unknown
from papers.table import METRICS
from reports.cells import better
from reports.layout import fixed
from reports.runs import Row, Runs, diverged, grouped, proper, scale, settings, value, variant
from reports.statistics import ALPHA, MOST, POWER, Comparison, Summary, paired, signed_ranks, summary, welch

TESTED = [name for name in METRICS if name.startswith("test_")]
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
        if not isfinite(x.summary.mean) or not isfinite(y.summary.mean):
            lines.append(
                f"  {task}: nothing can be said: a run has no {METRICS[x.metric]['label']}, nor a chance level"
            )
            continue
        kind, test = tested(x, y)
        gain = better(x.metric) * test.difference
        gains.append((METRICS[x.metric]["short"], gain))
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
        kept = [row for row in kept if _is(row.get(places[0]), wanted)]
    return kept


def _is(found: object, wanted: str) -> bool:
    """Tell whether a value is what a word says, read as train.py reads it: 1e-3 is 0.001."""
    with suppress(UsageError):
        return str(found) == wanted or bool(grammar.parse([f"where={wanted}"])[0].value() == found)
    return False


def _pairs(rows: Iterable[Row], a: str, b: str) -> list[tuple[str, Sample, Sample]]:
    by_task = grouped(((_task(row), settings(row, without=("optimizer",))), row) for row in rows)
    found = []
    for members in by_task.values():
        mine, theirs = ([row for row in members if name in (variant(row), row["optimizer"])] for name in (a, b))
        if mine and theirs:
            metric = main_metric([*mine, *theirs])
            found.append((_task(members[0]), _best(mine, metric), _best(theirs, metric)))
    return sorted(found, key=lambda entry: entry[0])


def _task(row: Row) -> str:
    label = "" if scale(row) == "paper" else f" [scale {scale(row)}]"
    protocol = row.get("labels.protocol")
    return " ".join([str(row["data"]), str(row["model"]), *([str(protocol)] if protocol else [])]) + label


def _best(rows: list[Row], metric: str) -> Sample:
    tried = grouped((str(row["group_id"]), row) for row in rows).values()
    best = max(tried, key=lambda members: (validation_score(members, metric), len(members)))
    return Sample(sorted(best, key=lambda row: int(row["seed"])), metric, len(tried))


def main_metric(rows: Sequence[Row]) -> str:
    """Return the first of the papers' metrics that one of a task's runs measured on its test images.

    A run that diverged measured nothing, and counts at chance level in any: of such alone it is the task's first.
    """
    done = [row for row in rows if not diverged(row)]
    measured = (name for name in TESTED if any(isfinite(value(row, name)) for row in done))
    task = str(rows[0].get("config.task.name", rows[0].get("config.data.task")))
    return next(measured, "test_loss" if done else first_metric(task))


def first_metric(task: str) -> str:
    """Return the first of the papers' metrics that a task measures on test images; top-1 of a task that none knows."""
    known = metrics.of_task(task) if task in groups.TASKS else {"top1"}
    return next(name for name in TESTED if METRICS[name].get("of", name).removeprefix("test_") in known)


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


def _overall(gains: list[tuple[str, float]], a: str, b: str) -> list[str]:
    if not gains:
        return ["  nothing to compare: no task has numbers of both"]
    wins, losses = sum(gain > 0 for _, gain in gains), sum(gain < 0 for _, gain in gains)
    by_metric = grouped(gains)  # percent and perplexity have no common mean
    named = {metric: f" ({metric})" if len(by_metric) > 1 else "" for metric in by_metric}
    means = ", ".join(f"{fmean(found):+z.3f}{named[metric]}" for metric, found in by_metric.items())
    text = f"  {a} ahead in {wins}, {b} in {losses}, equal in {len(gains) - wins - losses}; mean gain {means}"
    tests = [
        f"  Wilcoxon over tasks{named[metric]}: p {signed_ranks(found):.3g}; "
        "tasks that share a data set are not independent"
        for metric, found in by_metric.items()
        if np.count_nonzero(found) >= FEWEST_TASKS
    ]
    alike = " and that share a metric" if len(by_metric) > 1 else ""
    return [text, *(tests or [f"  a test over tasks needs at least {FEWEST_TASKS} of them that differ{alike}"])]
