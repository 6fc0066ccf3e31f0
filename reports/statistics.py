"""The statistics of few seeds and few tasks. Samples are sequences of floats, one value a seed.

Percentages are compared as the counts that they were (record.exact): equal counts are a tie, and a spread of the order
of rounding is none. Where there is no spread, nothing can be said, and a p value is NaN.

Tests come from scipy, which is slow to import and imported where it is used. Own code is what it has not: the guards
above, Welch's degrees of freedom from means and deviations alone (a published number has no sample) and the expected
best of k; and, for their speed, power and Holm's adjustment, which statsmodels has, too.

Defaults come from simulation: with 5 seeds a nominal 95 % interval covers 95.1 % with Student's t, 88.3 % with 1.96
standard errors and 84.2 % with a percentile bootstrap; so t it is. Tests are two-sided.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import comb, hypot, inf, isfinite, nan, sqrt
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from record.read import exact

ALPHA = 0.05
POWER = 0.8
NO_SPREAD = 1e-12  # of the values: a standard deviation below is one of rounding, where these were no counts
MOST = 10_000  # seeds that anyone may be told to need
Sample = Sequence[float]
Scores = NDArray[np.float64]


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
    error: float = nan
    dof: float = nan
    p: float = nan

    @property
    def errors(self) -> float:
        """The difference in standard errors; NaN where none is known."""
        return self.difference / self.error if self.error > 0 else nan

    def detectable(self) -> float:
        """Return the smallest true difference that this comparison would have shown with 80 % power (approximately)."""
        from scipy import stats

        if not self.dof > 0:
            return nan
        return float((stats.t.ppf(1 - ALPHA / 2, self.dof) + stats.t.ppf(POWER, self.dof)) * self.error)

    def power(self, effect: float) -> float:
        """Return the chance that this comparison shows a true difference `effect`; NaN where nothing can be said."""
        known = self.error > 0 and self.dof > 0 and isfinite(effect)
        return _power(abs(effect) / self.error, 1, self.dof) if known else nan

    def needed(self, n: float, effect: float | None = None) -> int | None:
        """Return how many seeds a side, more than n, show a true difference `effect` with 80 % power.

        effect: the difference that n seeds saw, unless given. None where it would take more than MOST.
        """
        size = abs(self.difference if effect is None else effect) / self.error
        growth = min(2.0, self.dof / (n - 1))  # Welch's are at most both sides'; of unequal sizes n is not their mean
        least = int(n) + 1
        counts = range(least, MOST + 1)
        found = least + bisect_left(counts, POWER, key=lambda m: _power(size / sqrt(n), m, growth * (m - 1)))
        return found if found <= MOST else None


def _power(effect: float, n: float, dof: float) -> float:
    """Return the power of a t test of n values for an effect in standard deviations; 1 where it is beyond computing.

    The same numbers as statsmodels' TTestPower, whose calls take 3 ms; a table of pairs makes thousands.
    """
    from scipy import special

    limit, shift = special.stdtrit(dof, 1 - ALPHA / 2), effect * sqrt(n)
    return float(np.nan_to_num(1 - special.nctdtr(dof, shift, limit) + special.nctdtr(dof, shift, -limit), nan=1.0))


def summary(values: Sample) -> Summary:
    """Summarise a sample; the mean of nothing is NaN, and so is that of values of which one is not finite."""
    n = len(values)
    if not n or not all(map(isfinite, values)):
        return Summary(nan, nan, n)
    counted = [exact(value) for value in values]
    return Summary(float(sum(counted) / n), _spread(counted, max(map(abs, values))), n)


def _spread(counted: Sequence[Fraction], size: float) -> float:
    """Return the standard deviation, NaN for one value; 0 where it could be the rounding of numbers of that size."""
    std = float(stdev(counted)) if len(counted) > 1 else nan
    return 0.0 if std <= NO_SPREAD * size else std


def half_width(sample: Summary) -> float:
    """Return half the length of Student's 95 % interval for the mean; NaN for fewer than two values."""
    from scipy import stats

    if sample.n < 2:
        return nan
    return float(stats.t.ppf(1 - ALPHA / 2, sample.n - 1) * sample.std / sqrt(sample.n))


def welch(a: Summary, b: Summary) -> Comparison:
    """Compare two means without assuming equal variances (Welch 1947).

    A sample without a standard deviation (one value, or a source that prints none) is taken to have the other's, and
    brings no degrees of freedom. Equal values on both sides measure no spread, and nothing can be said.
    """
    known = [sample for sample in (a, b) if isfinite(sample.std) and sample.n > 1]
    difference = float(exact(a.mean) - exact(b.mean)) if isfinite(a.mean) and isfinite(b.mean) else nan
    errors = [(sample.std if sample in known else known[0].std) / sqrt(sample.n) for sample in (a, b) if known]
    both = len(known) == 2
    return _tested(difference, errors, [a.n - 1, b.n - 1] if both else [sample.n - 1 for sample in known])


def _tested(difference: float, errors: Sequence[float], dofs: Sequence[float]) -> Comparison:
    """Test a difference whose error is the root of the sum of squares of `errors`; NaN where these are none.

    dofs: of each error, which give those of the sum (Satterthwaite 1946), or of them all.
    """
    from scipy import stats

    error = hypot(*errors)
    if not error > 0:
        return Comparison(difference)
    parts = [(one / error) ** 2 for one in errors]
    dof = 1 / sum(part**2 / dof for part, dof in zip(parts, dofs, strict=True)) if len(dofs) > 1 else dofs[0]
    return Comparison(difference, error, float(dof), float(2 * stats.t.sf(abs(difference) / error, dof)))


def paired(a: Sample, b: Sample) -> Comparison:
    """Compare two samples whose values belong together, seed by seed, with the paired t test.

    Differences that are all equal measure no spread, and nothing can be said.
    """
    if not len(a) or not all(map(isfinite, (*a, *b))):
        return Comparison(nan)
    differences = [exact(x) - exact(y) for x, y in zip(a, b, strict=True)]
    mean, std = float(sum(differences) / len(a)), _spread(differences, max(map(abs, (*a, *b))))
    return _tested(mean, [std / sqrt(len(a))], [len(a) - 1])


def pooled(tests: Sequence[Comparison]) -> Comparison:
    """Return the mean of independent differences (a fixed-effect meta-analysis of equal weights)."""
    known = [test for test in tests if test.error > 0]
    if not known:
        return Comparison(nan)
    errors = [test.error / len(known) for test in known]
    return _tested(fmean(test.difference for test in known), errors, [test.dof for test in known])


def effect_size(a: Summary, b: Summary) -> float:
    """Return Hedges' g: the difference in pooled standard deviations, corrected for few seeds (Hedges 1981)."""
    dof = a.n + b.n - 2
    parts = [sqrt((sample.n - 1) / dof) * sample.std for sample in (a, b)] if a.n > 1 and b.n > 1 else [nan]
    spread = hypot(*parts)
    return (a.mean - b.mean) / spread * (1 - 3 / (4 * dof - 1)) if spread > 0 else nan


def holm(p: Sample) -> list[float]:
    """Adjust p values for their number (Holm 1979). NaN stays NaN and is not counted.

    The same numbers as statsmodels' multipletests, which collects garbage in every call: 50 to 370 ms each here.
    """
    adjusted = np.array(p, float)
    known = np.flatnonzero(np.isfinite(adjusted))
    order = known[np.argsort(adjusted[known], kind="stable")]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(adjusted[order] * np.arange(len(order), 0, -1)))
    return list(map(float, adjusted))


def detectable_effect(n: int) -> float:
    """Return the difference, in standard deviations, that n seeds a side show with 80 % power (t test)."""
    from scipy.optimize import brentq

    return float(brentq(lambda effect: _power(effect, n / 2, 2 * n - 2) - POWER, 0, 100)) if n > 1 else inf


def _counted(scores: Scores) -> NDArray[np.object_]:
    return np.array([[exact(value) for value in row] for row in scores], object).reshape(scores.shape)


def ranks(scores: Scores) -> Scores:
    """Rank the columns of each row of scores [tasks, optimizers], 1 for the highest, ties shared."""
    from scipy import stats

    return np.asarray(stats.rankdata(_counted(-scores).astype(float), axis=1), float)


def friedman(scores: Scores) -> tuple[float, float]:
    """Test whether the ranks over tasks could be chance (Friedman 1937, ties corrected): statistic and p.

    scores: [tasks, optimizers], at least 3 optimizers.
    """
    from scipy import stats

    ranked = ranks(scores)
    if (ranked == ranked[:, :1]).all():
        return 0.0, 1.0
    test = stats.friedmanchisquare(*ranked.T)
    return float(test.statistic), float(test.pvalue)


def wilcoxon_holm(scores: Scores) -> Scores:
    """Compare every two columns of scores [tasks, optimizers] by Wilcoxon's signed ranks.

    Returns the Holm-adjusted p values, [optimizers, optimizers], symmetric with ones on the diagonal.
    """
    counted = _counted(scores)
    p = np.ones((scores.shape[1], scores.shape[1]))
    pairs = list(combinations(range(len(p)), 2))
    tests = [signed_ranks((counted[:, i] - counted[:, j]).astype(float).tolist()) for i, j in pairs]
    for (i, j), value in zip(pairs, holm(tests), strict=True):
        p[i, j] = p[j, i] = value
    return p


def signed_ranks(differences: Sample) -> float:
    """Return the p value of Wilcoxon's signed ranks (Wilcoxon 1945); 1 where no two values differ."""
    from scipy import stats

    return float(stats.wilcoxon(differences).pvalue) if np.any(differences) else 1.0


def expected_best(values: Sample, k: int) -> float:
    """Return the expected best of k tuning trials drawn without replacement from those made; higher is better."""
    ordered, n = sorted(values), len(values)
    if not 1 <= k <= n:
        raise ValueError(f"expected_best: k={k} is not between 1 and the number of trials, {n}")
    return sum(value * comb(index, k - 1) for index, value in enumerate(ordered)) / comb(n, k)
