"""The statistics against scipy, by simulation, and at their edges."""

from math import ceil, inf, isnan, nan

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower

from reports import statistics as s
from reports.scores import performance_profile

RNG = np.random.default_rng(0)


def draws(n: int, k: int = 5, shift: float = 0.0) -> list[np.ndarray]:
    return list(np.random.default_rng(n + k).normal(shift, 1.0, (n, k)))


def test_welch_is_scipys() -> None:
    for a, b in zip(draws(20, 5), draws(21, 7), strict=False):
        mine, theirs = s.welch(s.summary(a), s.summary(3 * b)), stats.ttest_ind(a, 3 * b, equal_var=False)
        assert mine.p == pytest.approx(theirs.pvalue, rel=1e-12)
        assert mine.dof == pytest.approx(theirs.df)
        assert mine.errors == pytest.approx(theirs.statistic)


def test_paired_is_scipys() -> None:
    for a, b in zip(draws(20), draws(30), strict=False):
        theirs = stats.ttest_rel(a, b)
        assert s.paired(a, b).p == pytest.approx(theirs.pvalue, rel=1e-12)


def test_interval_is_scipys() -> None:
    for a in draws(10):
        low, high = stats.t.interval(0.95, len(a) - 1, a.mean(), stats.sem(a))
        assert s.half_width(s.summary(a)) == pytest.approx((high - low) / 2)


def test_friedman_is_scipys_with_and_without_ties() -> None:
    for scores in (RNG.normal(size=(12, 5)), RNG.integers(0, 4, (12, 5)).astype(float)):
        theirs = stats.friedmanchisquare(*scores.T)
        assert s.friedman(scores) == pytest.approx((theirs.statistic, theirs.pvalue))


@pytest.mark.parametrize("test", ["welch", "paired"])
def test_false_positives_come_at_the_rate_alpha(test: str) -> None:
    left, right = ([np.round(64 * x) / 64 for x in draws(2000, k)] for k in (5, 6))  # short fractions are fast
    compare = {"welch": lambda a, b: s.welch(s.summary(a), s.summary(b)), "paired": lambda a, b: s.paired(a, b[:5])}[
        test
    ]
    rate = np.mean([compare(a, b).p < 0.05 for a, b in zip(left, right, strict=True)])
    assert 0.035 < rate < 0.065  # three standard errors of 2,000 draws about 0.05


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    covered = [abs(a.mean()) <= s.half_width(s.summary(a)) for a in (np.round(64 * x) / 64 for x in draws(2000, 5))]
    assert 0.935 < np.mean(covered) < 0.965


def test_holm_keeps_the_family_wise_rate() -> None:
    null = np.random.default_rng(5).uniform(size=(2000, 9))
    assert 0.035 < np.mean([min(s.holm(row)) < 0.05 for row in null]) < 0.065


def test_holm_is_statsmodels() -> None:
    for p in np.random.default_rng(6).uniform(size=(2, 40)) ** 3:
        assert s.holm(p) == pytest.approx(multipletests(p, method="holm")[1], rel=1e-12)


def test_holm_by_hand() -> None:
    assert s.holm([0.01, 0.04, 0.03, nan]) == pytest.approx([0.03, 0.06, 0.06, nan], nan_ok=True)
    assert s.holm([]) == []
    assert s.holm([0.9, 0.8]) == [1.0, 1.0]


def test_power_is_what_simulation_finds_and_five_seeds_need_two_deviations() -> None:
    shifted = np.random.default_rng(1).normal(2.0, 1.0, (2000, 5))
    found = np.mean(stats.ttest_ind(shifted, np.array(draws(2000, 5)), axis=1).pvalue < 0.05)
    assert TTestIndPower().power(2.0, 5, 0.05) == pytest.approx(found, abs=0.03)
    assert s.detectable_effect(5) == pytest.approx(2.0, abs=0.05)
    assert s.detectable_effect(1) == inf


def test_the_seeds_needed_are_those_that_the_libraries_solve_for() -> None:
    for effect in (0.1, 0.5, 1.0):
        difference = s.Comparison(effect, (2 / 3) ** 0.5, 4.0, 0.5)  # of two groups of 3 with a deviation of 1
        solved = TTestIndPower().solve_power(effect, alpha=0.05, power=0.8)
        assert difference.needed(3) == ceil(solved)
        pairs = s.Comparison(effect, (1 / 3) ** 0.5, 2.0, 0.5)
        assert pairs.needed(3) == ceil(TTestPower().solve_power(effect, alpha=0.05, power=0.8))
    assert s.Comparison(1e-6, 1.0, 4.0, 0.5).needed(3) is None


def test_power_is_statsmodels() -> None:
    for effect, n, dof in ((0.1, 3, 2.0), (0.8, 5, 6.5), (2.0, 4, 3.0), (3.0, 1, 8.0), (0.01, 900, 898.0)):
        expected = TTestPower().power(effect, n, 0.05, df=dof)
        assert s._power(effect, n, dof) == pytest.approx(expected, rel=1e-6)
    assert s._power(1e6, 10, 9.0) == pytest.approx(1.0)
    for n in (2, 3, 5, 100):
        solved = TTestIndPower().solve_power(nobs1=n, alpha=0.05, power=0.8)
        assert s.detectable_effect(n) == pytest.approx(solved, rel=1e-5)
    assert isnan(s.Comparison(1.0, 0.5, 4.0).power(nan))


def test_a_pooled_difference_is_the_mean_with_the_error_of_a_mean() -> None:
    mean = s.pooled([s.Comparison(1.0, 0.3, 4.0, 0.1), s.Comparison(2.0, 0.4, 6.0, 0.1), s.Comparison(nan)])
    dof = (0.15**2 + 0.2**2) ** 2 / (0.15**4 / 4 + 0.2**4 / 6)
    assert (mean.difference, mean.error, mean.dof) == (1.5, pytest.approx(0.25), pytest.approx(dof))
    assert mean.p == pytest.approx(2 * stats.t.sf(6.0, dof))
    noisy = s.pooled([s.Comparison(1.0, 1.0, 2.0), *[s.Comparison(1.0, 1e-6, 4.0)] * 5])
    assert noisy.dof == pytest.approx(2.0)  # quiet tasks tell nothing of a noisy one's error


def test_numbers_of_any_size_are_compared() -> None:
    """A perplexity is an exponential: e^400 is finite, and its square is not."""
    left, right = [1.0, 2.0, 4.0], [3.0, 5.0, 6.0]
    small = s.summary(left), s.summary(right)
    for size in (1e200, 1e-200):
        a, b = ([value * size for value in values] for values in (left, right))
        large = s.summary(a), s.summary(b)
        assert s.welch(*large).p == pytest.approx(s.welch(*small).p)
        assert s.paired(a, b).p == pytest.approx(s.paired(left, right).p)
        assert s.effect_size(*large) == pytest.approx(s.effect_size(*small))


def test_seeds_beside_a_single_one_promise_no_more_than_both_sides_would_show() -> None:
    """One value has no deviation of its own: of three seeds a side the power is 55 %, by simulation, of four 80 %."""
    alone = s.welch(s.summary([90.0, 91.0, 92.0, 93.0, 94.0]), s.summary([96.0]))
    assert alone.needed(2 / (1 + 1 / 5), 4.0) == 4


def test_no_exact_paired_test_of_five_seeds_can_be_significant() -> None:
    assert stats.wilcoxon([1.0, 2.0, 3.0, 4.0, 5.0]).pvalue == pytest.approx(0.0625)


def test_a_source_without_deviation_takes_ours() -> None:
    ours, theirs = s.Summary(95.0, 0.2, 5), s.Summary(95.4, nan, 5)
    result = s.welch(ours, theirs)
    assert result.error == pytest.approx(0.2 * (2 / 5) ** 0.5)
    assert result.dof == 4
    assert s.welch(ours, s.Summary(95.4, nan, 1)).error == pytest.approx(0.2 * (1 / 5 + 1) ** 0.5)


def test_edges_say_nothing_rather_than_something_wrong() -> None:
    assert isnan(s.welch(s.summary([1.0]), s.summary([2.0])).p)
    assert isnan(s.paired([1.0], [2.0]).p)
    assert isnan(s.summary([]).mean)
    assert isnan(s.half_width(s.summary([1.0])))
    for values in ([1.0, 1.0], [2.0, 2.0]):  # no spread was measured, so no difference is significant
        compared = s.welch(s.summary(values), s.summary([1.0, 1.0]))
        assert isnan(compared.p)
        assert isnan(compared.errors)
        assert isnan(s.paired(values, [1.0, 1.0]).p)
    assert s.friedman(np.ones((4, 3))) == (0.0, 1.0)


def test_wilcoxon_holm_finds_the_one_that_differs() -> None:
    scores = np.random.default_rng(2).normal(size=(15, 3))
    scores[:, 2] += 5
    p = s.wilcoxon_holm(scores)
    assert p[0, 2] < 0.01
    assert p[0, 1] > 0.05
    assert (p == p.T).all()
    assert (s.wilcoxon_holm(np.ones((5, 2))) == np.ones((2, 2))).all()


def test_performance_profile_by_hand() -> None:
    taus, shares = performance_profile(np.array([[1.0, 2.0], [4.0, 2.0], [inf, 3.0], [inf, inf]]))
    assert list(taus) == [1.0, 2.0]
    assert shares.tolist() == [[0.25, 0.5], [0.5, 0.75]]


def test_expected_best_is_what_drawing_gives() -> None:
    values = [3.0, 1.0, 2.0, 10.0]
    drawn = np.random.default_rng(3).permuted(np.tile(values, (20_000, 1)), axis=1)[:, :2].max(1).mean()
    assert s.expected_best(values, 2) == pytest.approx(drawn, abs=0.1)
    assert s.expected_best(values, 4) == 10.0
    assert s.expected_best(values, 1) == 4.0
    with pytest.raises(ValueError, match="k=5"):
        s.expected_best(values, 5)
