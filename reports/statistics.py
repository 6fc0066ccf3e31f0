"""The statistics of few seeds and few tasks. Samples are sequences of floats, one value a seed.

Percentages are compared as the counts that they were (record.exact): equal counts are a tie, and a spread of the order
of rounding is none. Where there is no spread, nothing can be said, and a p value is NaN.

Defaults come from simulation: with 5 seeds a nominal 95 % interval covers 95.1 % with Student's t, 88.3 % with 1.96
standard errors and 84.2 % with a percentile bootstrap; so t it is. Tests are two-sided.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import comb, inf, isfinite, nan, sqrt
from statistics import stdev

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from record import exact

ALPHA = 0.05
POWER = 0.8
NO_SPREAD = 1e-12  # of the values: a standard deviation below is one of rounding, where these were no counts
MOST = 10_000  # seeds that anyone may be told to need
Sample = Sequence[float]
_exactly = np.frompyfunc(exact, 1, 1)


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

    def needed(self, n: float) -> int | None:
        """Return how many seeds a side, more than n, show a true difference of the size that n seeds did not show.

        None where that is more than MOST.
        """
        found, growth = abs(self.errors), self.dof / (n - 1)
        return _fewest(lambda m: _power(found * sqrt(m / n), growth * (m - 1), ALPHA), POWER, MOST, int(n) + 1)


def summary(values: Sample) -> Summary:
    """Summarise a sample; the mean of nothing is NaN, and so is that of values of which one is not finite."""
    n = len(values)
    if not n or not all(map(isfinite, values)):
        return Summary(nan, nan, n)
    counted = [exact(value) for value in values]
    return Summary(float(sum(counted) / n), _spread(counted, max(map(abs, values))), n)


def _spread(counted: Sequence[Fraction], size: float) -> float:
    """Return the standard deviation, NaN for one value; 0 where it could be the rounding of numbers of that size."""
    std = stdev(counted) if len(counted) > 1 else nan
    return 0.0 if std <= NO_SPREAD * size else std


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
    difference = float(exact(a.mean) - exact(b.mean)) if isfinite(a.mean) and isfinite(b.mean) else nan
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
    """Compare two samples whose values belong together, seed by seed, with the paired t test.

    Differences that are all equal measure no spread, and nothing can be said.
    """
    if not len(a) or not all(map(isfinite, (*a, *b))):
        return Comparison(nan, nan, nan, nan)
    differences = [exact(x) - exact(y) for x, y in zip(a, b, strict=True)]
    mean, std = float(sum(differences) / len(a)), _spread(differences, max(map(abs, (*a, *b))))
    if not std > 0:
        return Comparison(mean, nan, nan, nan)
    test = stats.ttest_1samp(list(map(float, differences)), 0.0)
    return Comparison(mean, std / sqrt(len(a)), float(test.df), float(test.pvalue))


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
    return _power(effect * sqrt(n / 2), 2 * n - 2, alpha)


def _power(shift: float, dof: float, alpha: float) -> float:
    """Return the chance that a t test shows a true difference of `shift` standard errors."""
    critical = stats.t.ppf(1 - alpha / 2, dof)
    found = stats.nct.sf(critical, dof, shift) + stats.nct.cdf(-critical, dof, shift)
    return float(np.nan_to_num(found, nan=1.0))  # scipy answers NaN for shifts so large that the power is 1


def seeds_needed(effect: float, wanted: float = POWER, alpha: float = ALPHA, most: int = MOST) -> int | None:
    """Return the smallest number of seeds a side with that power; None if more than `most`."""
    return _fewest(lambda n: power(n, effect, alpha), wanted, most)


def _fewest(power_of: Callable[[int], float], wanted: float, most: int, least: int = 2) -> int | None:
    """Return the smallest number of seeds from `least` on with the wanted power; None if more than `most`."""
    low = high = least
    while power_of(high) < wanted:
        low, high = high, 2 * high
        if high > most:
            return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= wanted else (middle + 1, high)
    return high


def detectable_effect(n: int, wanted: float = POWER, alpha: float = ALPHA) -> float:
    """Return the difference, in standard deviations, that n seeds a side show with that power."""
    from scipy.optimize import brentq

    return float(brentq(lambda effect: power(n, effect, alpha) - wanted, 1e-6, 100)) if n > 1 else inf


def ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank the columns of each row of scores [tasks, rivals], 1 for the highest, ties shared."""
    return stats.rankdata(_exactly(-scores).astype(float), axis=1)


def friedman(scores: NDArray[np.float64]) -> tuple[float, float]:
    """Test whether the rivals' ranks over tasks could be chance (Friedman 1937, ties corrected): statistic and p.

    scores: [tasks, rivals], at least 3 rivals.
    """
    ranked = ranks(scores)
    if (ranked == ranked[:, :1]).all():
        return 0.0, 1.0
    test = stats.friedmanchisquare(*ranked.T)
    return float(test.statistic), float(test.pvalue)


def wilcoxon_holm(scores: NDArray[np.float64]) -> dict[tuple[int, int], float]:
    """Compare every two columns of scores [tasks, rivals] by Wilcoxon's signed ranks; Holm-adjusted p by pair."""
    pairs = list(combinations(range(scores.shape[1]), 2))
    counted = _exactly(scores)
    p = [signed_ranks((counted[:, i] - counted[:, j]).astype(float)) for i, j in pairs]
    return dict(zip(pairs, holm(p), strict=True))


def signed_ranks(differences: Sample) -> float:
    """Return the p value of Wilcoxon's signed ranks (Wilcoxon 1945); 1 where no two values differ."""
    return float(stats.wilcoxon(differences).pvalue) if np.any(differences) else 1.0


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
