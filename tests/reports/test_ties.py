"""Ties and samples of which nothing can be said, on counts of right images."""

from dataclasses import replace
from itertools import permutations
from math import isnan, nan
from typing import Any

import numpy as np
import pytest
from scipy import stats

from record.read import exact
from reports import claims, compare, scores
from reports import statistics as s
from reports.cells import UNDECIDED, Result, fill
from reports.runs import Runs
from tests.reports import synthetic
from tests.reports.test_page import drawn, judged

IMAGES = {"digits": 360, "mhist": 977, "cifar": 10_000, "imagenet": 50_000, "adp cells": 33 * 1767}


def top1(*hits: int, of: int = 360) -> list[float]:
    return [100 * h / of for h in hits]


def scored(scores: dict[str, list[float]], **changes: Any) -> Result:
    """Return a filled table of six nets whose runs have these scores, one a seed."""
    seeds = len(next(iter(scores.values())))
    result = drawn(dict.fromkeys(scores, 0.0), seeds, **changes)
    rows = [
        row | {f"metrics.{cell.cell.metric}": scores[row["optimizer"]][row["seed"]]}
        for cell in result.cells
        for row in cell.runs
    ]
    return fill(result.table, Runs(rows), synthetic.identify)


def compared(result: Result) -> str:
    return compare.compare(Runs(result.runs), "rmsgd", "sgd")


@pytest.mark.parametrize("of", IMAGES.values(), ids=IMAGES)
def test_a_percentage_is_the_count_that_it_was(of: int) -> None:
    rng = np.random.default_rng(of)
    for hits in (0, 1, of, *map(int, rng.integers(0, of, 300))):
        assert exact(100 * hits / of) * of == 100 * hits
        assert exact(100.0 * (hits / of)) * of == 100 * hits  # rounded twice


def test_what_is_no_share_stays_itself() -> None:
    for value in np.random.default_rng(0).lognormal(0, 3, 300):
        assert abs(float(exact(value)) - value) <= 4e-15 * value
    assert exact(0.1) * 3 == exact(0.3)


@pytest.mark.parametrize("of", IMAGES.values(), ids=IMAGES)
def test_equal_sums_are_one_mean_whatever_the_order(of: int) -> None:
    rng = np.random.default_rng(of)
    for _ in range(50):
        a, b, c = map(int, rng.integers(of // 2, of - 10, 3))
        orders = [s.summary(top1(*hits, of=of)) for hits in permutations((a, b, c))]
        other = s.summary(top1(a + 3, b - 1, c - 2, of=of))
        assert {one.mean for one in orders} == {other.mean}
        assert len({one.std for one in orders}) == 1
        assert s.ranks(np.array([[orders[0].mean, other.mean, 0.0]])).tolist() == [[1.5, 1.5, 3.0]]
        assert s.ranks(np.array([[np.mean(top1(a, b, c, of=of)), other.mean]])).tolist() == [[1.5, 1.5]]


@pytest.mark.parametrize("values", [top1(502, of=977) * 5, top1(600, of=977) * 5, [0.1 + 0.2] * 3, [1 / 3] * 7])
def test_equal_values_have_no_spread_and_say_nothing(values: list[float]) -> None:
    sample = s.summary(values)
    assert (sample.std, s.half_width(sample)) == (0.0, 0.0)
    assert isnan(s.welch(sample, s.summary([value + 1 for value in values])).p)
    assert isnan(s.paired(values, [value + 1 for value in values]).p)


def test_a_difference_of_one_image_in_every_seed_has_no_spread() -> None:
    for hits in range(1, 350):
        test = s.paired(top1(hits + 1, hits + 4), top1(hits, hits + 3))
        assert (test.difference, isnan(test.p)) == (100 / 360, True)
    for base in np.random.default_rng(1).normal(50, 20, (50, 3)):  # and so it is with losses
        assert isnan(s.paired(list(base + 0.1), list(base)).p)


def test_a_spread_of_one_image_is_one() -> None:
    assert s.paired(top1(3, 4, 3), top1(0, 0, 0)).p == pytest.approx(stats.ttest_1samp([3, 4, 3], 0).pvalue)
    assert 0 < s.summary([1e-9, 2e-9, 3e-9]).std < 1.1e-9


def test_what_is_not_finite_is_no_comparison() -> None:
    for other in (nan, float("inf")):
        assert isnan(s.summary([1.0, other]).mean)
        assert isnan(s.paired([1.0, 2.0], [1.0, other]).p)
        assert isnan(s.welch(s.summary([1.0, other]), s.summary([1.0, 2.0])).p)


def test_equal_differences_of_different_scores_tie_over_tasks() -> None:
    scores = np.array([top1(h + 1, h, 0) for h in (340, 301, 250, 199, 17, 3, 88)])
    assert s.wilcoxon_holm(scores)[0, 1] == pytest.approx(3 * 2 / 2**7)  # all ahead by one image: exact, ties shared
    assert s.signed_ranks([0.0, 0.0]) == 1.0


def test_both_of_a_tie_are_best_and_neither_is_near_nor_tested() -> None:
    tied = {"rmsgd": top1(352, 344, 338), "sgd": top1(355, 341, 338), "adam": top1(100, 101, 102)}
    for order in permutations(tied):
        result = scored({name: tied[name] for name in order})
        found = {str(c.cell.coordinates["optimizer"]): c for c in result.cells[:3]}
        assert {name: cell.highlight for name, cell in found.items()} == {"rmsgd": "best", "sgd": "best", "adam": ""}
        assert isnan(found["sgd"].from_best)
        assert isnan(found["rmsgd"].from_best)
        assert found["adam"].from_best == pytest.approx(s.welch(found["adam"].summary, found["sgd"].summary).p)


def test_exactly_one_deviation_away_is_near() -> None:
    for hits in range(200, 340, 7):
        result = scored({"rmsgd": top1(hits, hits + 1, hits + 2), "sgd": top1(hits, hits, hits)})
        assert [cell.highlight for cell in result.cells[:2]] == ["best", "near"]


def test_compare_calls_a_tie_equal_and_writes_no_negative_zero() -> None:
    text = compared(scored({"rmsgd": top1(352, 344, 338), "sgd": top1(355, 341, 338)}))
    assert "RMSGD ahead in 0, SGD in 0, equal in 6; mean gain +0.000" in text
    assert text.count("no difference found\n") == 6
    assert "at least 6 of them that differ" in text
    assert "-0.000" not in text
    close = scored({"rmsgd": [90.00000, 90.0, 90.1], "sgd": [90.00001, 90.0, 90.1]})
    assert "-0.000" not in compared(close)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"rmsgd": [97.2], "sgd": [80.0]}, "nothing can be said from one seed"),
        ({"rmsgd": [90.0] * 3, "sgd": [80.0] * 3}, "nothing can be said without spread"),
        ({"rmsgd": top1(341, 344), "sgd": top1(340, 343)}, "nothing can be said without spread"),
    ],
)
def test_compare_says_when_nothing_can_be_said(scores: dict[str, list[float]], words: str) -> None:
    text = compared(scored(scores))
    assert text.count(words) == 6
    assert "no difference" not in text


def test_what_would_be_needed_is_always_more_than_there_was() -> None:
    rng = np.random.default_rng(4)
    for n in (2, 3, 5):
        for _ in range(15):
            a, b = rng.normal(0, 1, n), rng.normal(1, rng.choice([0.01, 1, 5]), n)
            for test in (s.paired(a, b), s.welch(s.summary(a), s.summary(b))):
                if test.p >= s.ALPHA:
                    assert (test.needed(n) or s.MOST) > n


def test_without_a_second_seed_or_a_spread_a_verdict_is_that_nothing_can_be_said() -> None:
    published = {"paper": "rmsgd", "table": "1a"}
    nets = {"rows": {"data": "cifar10", "model": ["resnet18", "resnet34"]}, "published": published}
    for values, theirs in (([95.0], nan), ([95.0] * 3, 0.0)):
        result = scored({"sgd": values}, protocol="synthetic", **nets)
        bare = [replace(c, published=replace(c.published, std=theirs, n=1)) for c in result.cells]
        assert {cells_verdict(cell, result) for cell in bare} == {UNDECIDED}
        assert {cell.verdict for cell in result.cells} != {UNDECIDED}  # the source's own deviation is one


def test_a_difference_below_what_the_source_prints_is_none() -> None:
    nets = {
        "rows": {"data": "cifar10", "model": ["resnet18", "resnet34"]},
        "published": {"paper": "rmsgd", "table": "1a"},
    }
    printed = scored({"sgd": [95.0] * 3}, protocol="synthetic", **nets).cells[0].published.mean
    close = scored({"sgd": [printed + 0.003, printed + 0.004, printed + 0.003]}, protocol="synthetic", **nets)
    assert (close.cells[0].verdict, close.cells[0].against.difference) == ("agrees", 0.0)


def cells_verdict(cell: Any, result: Result) -> str:
    from reports import cells

    return cells._verdict(cell, cells._against(cell).p, result)


def test_a_tie_is_no_comparison_won_and_a_claim_says_what_cannot_be_tested() -> None:
    tie = scored({"rmsgd": top1(352, 344, 338), "sgd": top1(355, 341, 338)})
    found = judged(tie, test="above", order=["rmsgd", "sgd"])
    assert (found.verdict, found.evidence.startswith("0 of 6 comparisons")) == ("inconclusive", True)
    assert judged(tie, test="at_least", order=["sgd", "rmsgd"]).verdict == "inconclusive"
    lone = judged(scored({"rmsgd": [97.0], "sgd": [80.0]}), test="above", order=["rmsgd", "sgd"])
    assert "6 of one seed or without spread, of which nothing can be said" in lone.evidence


def test_rates_that_tie_are_all_the_best() -> None:
    axes = {"optimizer": ["sgd", "adam"], "optimizer.lr": [0.1, 0.2, 0.4]}
    nets = {"rows": {"data": "cifar10", "model": "net"}, "columns": axes}
    result = drawn({"sgd": 0.0, "adam": 0.0}, 2, **nets)
    claim = {"test": "best_value", "order": ["sgd", "adam"], "key": "optimizer.lr", "between": [1.0, 1.0]}
    right = {0.1: (352, 344), 0.2: (348, 348), 0.4: (300, 301)}
    cells = [replace(c, summary=s.summary(top1(*right[c.cell.coordinates["optimizer.lr"]]))) for c in result.cells]
    found = claims._best_value(claim, cells)
    assert found == ("mixed", "best optimizer.lr: SGD 0.1 or 0.2, Adam 0.1 or 0.2; ratio 1 or 0.5 or 2 or 1")


def test_a_tie_shares_its_rank_in_a_diagram() -> None:
    tie = scored({"rmsgd": top1(352, 344, 338), "sgd": top1(355, 341, 338), "adam": top1(1, 2, 3)})
    _, table, _ = scores.scores_by_task(tie.groups(), scores.mean_score)
    assert s.ranks(table).mean(0).tolist() == [1.5, 1.5, 3.0]
    assert s.friedman(table)[0] == pytest.approx(12.0)
