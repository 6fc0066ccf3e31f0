"""The statistics of few seeds and few tasks. Samples are sequences of floats, one value a seed.

Defaults come from simulation: with 5 seeds a nominal 95 % interval covers 95.1 % with Student's t, 88.3 % with 1.96
standard errors and 84.2 % with a percentile bootstrap; so t it is. Tests are two-sided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, inf, isfinite, nan, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats

ALPHA = 0.05
POWER = 0.8
Sample = Sequence[float]


@dataclass(frozen=True)
class Summary:
    """Mean, standard deviation (ddof 1; NaN for one value) and number of values."""

    mean: float
    std: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """A difference of means, its standard error, degrees of freedom and p value (NaN where nothing can be said)."""

    difference: float
    error: float
    dof: float
    p: float

    @property
    def errors(self) -> float:
        """The difference in standard errors; NaN where none is known."""
        return self.difference / self.error if self.error > 0 else nan

    def detectable(self, power: float = POWER, alpha: float = ALPHA) -> float:
        """Return the smallest true difference that this comparison would have shown with that power (approximately)."""
        if not self.dof > 0:
            return nan
        return float((stats.t.ppf(1 - alpha / 2, self.dof) + stats.t.ppf(power, self.dof)) * self.error)


def summary(values: Sample) -> Summary:
    """Summarise a sample; the mean of nothing is NaN."""
    array = np.asarray(values, float)
    mean = float(array.mean()) if len(array) else nan
    return Summary(mean, float(array.std(ddof=1)) if len(array) > 1 else nan, len(array))


def half_width(sample: Summary, level: float = 0.95) -> float:
    """Return half the length of Student's t interval for the mean; NaN for fewer than two values."""
    if sample.n < 2:
        return nan
    return float(stats.t.ppf(0.5 + level / 2, sample.n - 1) * sample.std / sqrt(sample.n))


def welch(a: Summary, b: Summary) -> Comparison:
    """Compare two means without assuming equal variances (Welch 1947).

    A sample without a standard deviation (one value, or a source that prints none) is taken to have the other's, and
    brings no degrees of freedom. Equal values on both sides measure no spread, and nothing can be said.
    """
    known = [sample for sample in (a, b) if isfinite(sample.std) and sample.n > 1]
    difference = a.mean - b.mean
    if not known:
        return Comparison(difference, nan, nan, nan)
    parts = [(sample.std if sample in known else known[0].std) ** 2 / sample.n for sample in (a, b)]
    total = sum(parts)
    if total == 0:
        return Comparison(difference, nan, nan, nan)
    both = len(known) == 2
    dof = total**2 / sum(part**2 / (x.n - 1) for part, x in zip(parts, (a, b), strict=True)) if both else known[0].n - 1
    p = 2 * stats.t.sf(abs(difference) / sqrt(total), dof)
    return Comparison(difference, sqrt(total), float(dof), float(p))


def paired(a: Sample, b: Sample) -> Comparison:
    """Compare two samples whose values belong together, seed by seed, with the paired t test."""
    differences = np.subtract(a, b)
    result = summary(list(differences))
    if result.n < 2:
        return Comparison(result.mean, nan, nan, nan)
    error = result.std / sqrt(result.n)
    if error == 0:
        return Comparison(result.mean, nan, nan, nan)
    return Comparison(result.mean, error, result.n - 1, float(2 * stats.t.sf(abs(result.mean) / error, result.n - 1)))


def holm(p: Sample) -> list[float]:
    """Adjust p values for their number (Holm 1979). NaN stays NaN and is not counted."""
    known = sorted((value, index) for index, value in enumerate(p) if isfinite(value))
    adjusted, highest = [nan] * len(p), 0.0
    for rank, (value, index) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * value))
        adjusted[index] = highest
    return adjusted


def power(n: int, effect: float, alpha: float = ALPHA) -> float:
    """Return the chance that n seeds a side show a true difference of `effect` standard deviations (t test)."""
    dof, shift = 2 * n - 2, effect * sqrt(n / 2)
    critical = stats.t.ppf(1 - alpha / 2, dof)
    found = stats.nct.sf(critical, dof, shift) + stats.nct.cdf(-critical, dof, shift)
    return float(np.nan_to_num(found, nan=1.0))  # scipy answers NaN for shifts so large that the power is 1


def seeds_needed(effect: float, wanted: float = POWER, alpha: float = ALPHA, most: int = 10_000) -> int | None:
    """Return the smallest number of seeds a side with that power; None if more than `most`."""
    low, high = 2, 2
    while power(high, effect, alpha) < wanted:
        low, high = high, 2 * high
        if high > most:
            return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, effect, alpha) >= wanted else (middle + 1, high)
    return high


def detectable_effect(n: int, wanted: float = POWER, alpha: float = ALPHA) -> float:
    """Return the difference, in standard deviations, that n seeds a side show with that power."""
    from scipy.optimize import brentq

    return float(brentq(lambda effect: power(n, effect, alpha) - wanted, 1e-6, 100)) if n > 1 else inf


def ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank the columns of each row of scores [tasks, rivals], 1 for the highest, ties shared."""
    return stats.rankdata(-scores, axis=1)


def friedman(scores: NDArray[np.float64]) -> tuple[float, float]:
    """Test whether the rivals' ranks over tasks could be chance (Friedman 1937, ties corrected): statistic and p.

    scores: [tasks, rivals], at least 3 rivals.
    """
    tasks, rivals = scores.shape
    ranked = ranks(scores)
    spread = ((ranked - (rivals + 1) / 2) ** 2).sum()
    if spread == 0:
        return 0.0, 1.0
    statistic = (rivals - 1) * ((ranked.sum(0) - tasks * (rivals + 1) / 2) ** 2).sum() / spread
    return float(statistic), float(stats.chi2.sf(statistic, rivals - 1))


def wilcoxon_holm(scores: NDArray[np.float64]) -> dict[tuple[int, int], float]:
    """Compare every two columns of scores [tasks, rivals] by Wilcoxon's signed ranks; Holm-adjusted p by pair."""
    pairs = list(combinations(range(scores.shape[1]), 2))
    same = [bool((scores[:, i] == scores[:, j]).all()) for i, j in pairs]
    p = [
        1.0 if s else float(stats.wilcoxon(scores[:, i], scores[:, j]).pvalue)
        for s, (i, j) in zip(same, pairs, strict=True)
    ]
    return dict(zip(pairs, holm(p), strict=True))


def indistinct(mean_ranks: Sample, p: dict[tuple[int, int], float], alpha: float = ALPHA) -> list[tuple[int, ...]]:
    """Return the maximal runs of neighbours in rank of which no two differ: the bars of a rank diagram."""
    order = [int(index) for index in np.argsort(mean_ranks, kind="stable")]
    bars: list[tuple[int, ...]] = []
    for start in range(len(order)):
        for stop in range(len(order), start + 1, -1):
            members = order[start:stop]
            if all(p[min(i, j), max(i, j)] >= alpha for i, j in combinations(members, 2)):
                if not any(set(members) <= set(bar) for bar in bars):
                    bars.append(tuple(members))
                break
    return bars


def performance_profile(times: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ratios tau [points] and, for each rival, the share of tasks it solves within tau times the best.

    times: [tasks, rivals] until the target, inf where it was never reached (Dolan and More 2002). Shares: [points,
    rivals]. A task that nobody solves counts as unsolved for all.
    """
    best = times.min(1, keepdims=True)
    ratios = np.where(np.isfinite(times), times / np.where(np.isfinite(best), best, 1.0), inf)
    taus = np.unique(np.concatenate([[1.0], ratios[np.isfinite(ratios)]]))
    return taus, (ratios[None] <= taus[:, None, None]).mean(1)


def expected_best(values: Sample, k: int) -> float:
    """Return the expected best of k tuning trials drawn without replacement from those made; higher is better."""
    ordered, n = sorted(values), len(values)
    if not 1 <= k <= n:
        raise ValueError(f"expected_best: k={k} is not between 1 and the number of trials, {n}")
    return sum(value * comb(index, k - 1) for index, value in enumerate(ordered)) / comb(n, k)
