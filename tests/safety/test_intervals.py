"""Intervals for rates, against scipy's and against coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.watermark.figures import upper_bound
from safety.intervals import Interval, beta_share, binomial_tail, clopper_pearson, paired_difference, paired_test

COUNTS = [(0, 1), (1, 1), (0, 299), (3, 299), (1, 10), (5, 10), (10, 10), (40, 1000), (999, 1000), (12, 100_000)]


@pytest.mark.parametrize(("hits", "n"), COUNTS)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_the_exact_interval_is_that_of_scipy(hits: int, n: int, confidence: float) -> None:
    ours = clopper_pearson(hits, n, confidence)
    theirs = stats.binomtest(hits, n).proportion_ci(confidence, method="exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("hits", "n"), COUNTS)
def test_one_side_agrees_with_the_benchmarks(hits: int, n: int) -> None:
    assert clopper_pearson(hits, n, side="upper").high == pytest.approx(upper_bound(hits, n), rel=1e-9)
    assert clopper_pearson(hits, n, side="upper").low == 0
    assert clopper_pearson(hits, n, side="lower").low == pytest.approx(1 - upper_bound(n - hits, n), abs=1e-9)


def test_two_hundred_and_ninety_nine_clean_negatives_claim_one_per_cent_and_one_fewer_do_not() -> None:
    assert clopper_pearson(0, 299, 0.95, "upper").high <= 0.01 < clopper_pearson(0, 298, 0.95, "upper").high


def test_no_hit_in_a_million_bounds_the_rate_by_three_in_a_million() -> None:
    assert clopper_pearson(0, 10**6, side="upper").high == pytest.approx(-math.log(0.05) / 1e6, rel=1e-4)


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.5])
def test_the_exact_interval_covers_the_true_rate_as_often_as_it_says(rate: float) -> None:
    n = 40
    shares = stats.binom.pmf(np.arange(n + 1), n, rate)
    covered = [interval.low <= rate <= interval.high for interval in (clopper_pearson(k, n) for k in range(n + 1))]
    assert shares[covered].sum() >= 0.95


@pytest.mark.parametrize(("hits", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_counts_that_cannot_be_are_refused(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a rate"):
        clopper_pearson(hits, n)


@pytest.mark.parametrize(("confidence", "side"), [(0.0, "two"), (1.0, "two"), (0.95, "left")])
def test_a_confidence_or_side_that_cannot_be_is_refused(confidence: float, side: str) -> None:
    with pytest.raises(ValueError, match="confidence"):
        clopper_pearson(1, 3, confidence, side)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (0.5, 7), (300, 4), (5e4, 5e4)])
def test_the_incomplete_beta_function_is_that_of_scipy(a: float, b: float) -> None:
    for x in (0.0, 1e-6, 0.2, 0.499, 0.5, 0.97, 1.0):
        assert beta_share(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), rel=1e-8, abs=1e-14)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (3, 3), (5, 0), (0, 8), (12, 30), (200, 150)])
def test_the_paired_test_is_the_binomial_test(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert paired_test(first, second) == pytest.approx(expected, rel=1e-9)


def test_the_paired_difference_covers_the_true_one() -> None:
    draw = np.random.default_rng(3)
    shares, n, covered = (0.15, 0.05, 0.8), 60, 0
    for first, second, _ in draw.multinomial(n, shares, 2000):
        interval = paired_difference(int(first), int(second), n)
        covered += interval.low <= 0.1 <= interval.high
    assert covered / 2000 > 0.935


def test_no_differing_pair_leaves_a_difference_of_either_sign_open() -> None:
    found = paired_difference(0, 0, 30)
    assert found.low == -found.high
    assert 0 < found.high < 0.15
    assert Interval(found.low, found.high) == found


@pytest.mark.parametrize(("hits", "n", "rate"), [(0, 5, 0.1), (4, 4, 0.1), (3, 40, 0.05), (60, 1000, 0.05)])
def test_a_binomial_tail_is_that_of_scipy(hits: int, n: int, rate: float) -> None:
    assert binomial_tail(hits, n, rate) == pytest.approx(stats.binom.sf(hits - 1, n, rate), rel=1e-9)
