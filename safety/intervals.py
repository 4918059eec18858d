"""Intervals for rates, exact or close to it, without a statistics library.

Clopper and Pearson (Biometrika 26, 1934) for one rate, Bonett and Price (Biometrical Journal 54, 2012) for the
difference of two rates of the same pairs, and exact binomial tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

SIDES = ("two", "upper", "lower")
_ROUNDING = 1e-15
_FRACTION_STEPS = 10_000


@dataclass(frozen=True)
class Interval:
    """From ``low`` to ``high``, both included."""

    low: float
    high: float


def clopper_pearson(hits: int, n: int, confidence: float = 0.95, side: str = "two") -> Interval:
    """The rates that ``hits`` of ``n`` do not rule out; ``upper`` and ``lower`` bound one side alone.

    For hits of a binomial variable the interval covers the true rate at least as often as ``confidence`` says. Raises
    ValueError for numbers that cannot be.
    """
    _require_counts(hits, n)
    if not 0 < confidence < 1 or side not in SIDES:
        raise ValueError(f"confidence lies between 0 and 1, side is one of {', '.join(SIDES)}")
    tail = (1 - confidence) / (2 if side == "two" else 1)
    low = 0.0 if hits == 0 or side == "upper" else beta_quantile(tail, hits, n - hits + 1)
    high = 1.0 if hits == n or side == "lower" else beta_quantile(1 - tail, hits + 1, n - hits)
    return Interval(low, high)


def paired_difference(only_first: int, only_second: int, n: int, confidence: float = 0.95) -> Interval:
    """Bonett and Price's interval for the first rate less the second, over ``n`` pairs.

    ``only_first`` pairs are hits of the first alone, ``only_second`` of the second alone.
    """
    _require_counts(only_first + only_second, n)
    first, second = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    spread = math.sqrt(max(first + second - (first - second) ** 2, 0.0) / (n + 2))
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * spread
    return Interval(max(-1.0, first - second - half), min(1.0, first - second + half))


def paired_test(only_first: int, only_second: int) -> float:
    """The two-sided exact p-value that neither rate is the larger, from the pairs in which they differ."""
    n, fewer = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return 1.0
    # The tail of a fair coin: P(at most `fewer` of n) is P(a Beta(n - fewer, fewer + 1) variable is below 1/2).
    return min(1.0, 2 * beta_share(0.5, n - fewer, fewer + 1))


def binomial_tail(hits: int, n: int, rate: float) -> float:
    """The probability of ``hits`` or more of ``n`` when each has the given rate."""
    _require_counts(hits, n)
    return 1.0 if hits == 0 else beta_share(rate, hits, n - hits + 1)


def beta_quantile(share: float, a: float, b: float) -> float:
    """The x below which a Beta(a, b) variable lies with probability ``share``, to the last few bits."""
    low, high = 0.0, 1.0
    while high - low > _ROUNDING * max(high, 1e-300):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        if beta_share(middle, a, b) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_share(x: float, a: float, b: float) -> float:
    """P(a Beta(a, b) variable is at most x): the regularised incomplete beta function (DLMF 8.17)."""
    if not 0 < x < 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_share(1 - x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of DLMF 8.17.22, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, _FRACTION_STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + term * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + term / c
            c = c if abs(c) > tiny else tiny
            value *= c * d
        if abs(c * d - 1) < _ROUNDING:
            return value
    raise ArithmeticError(f"the incomplete beta function does not converge at x = {x}, a = {a}, b = {b}")


def _require_counts(hits: int, n: int) -> None:
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is not a rate")
