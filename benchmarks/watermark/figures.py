"""Rates with their intervals, thresholds from null decisions, medians."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Rate:
    """``hits`` of ``n``, with Wilson's 95 % interval."""

    hits: int
    n: int

    @property
    def share(self) -> float:
        return self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval (Wilson 1927), which never leaves 0 to 1."""
        z2 = NORMAL_95**2
        centre = (self.hits + z2 / 2) / (self.n + z2)
        half = NORMAL_95 / (self.n + z2) * math.sqrt(self.hits * (self.n - self.hits) / self.n + z2 / 4)
        return max(0.0, centre - half), min(1.0, centre + half)


def rate(outcomes: Sequence[bool]) -> Rate:
    """How many of some outcomes are true; raises ValueError for none at all."""
    if not outcomes:
        raise ValueError("a rate needs at least one outcome")
    return Rate(sum(outcomes), len(outcomes))


def upper_bound(hits: int, n: int, confidence: float = 0.95) -> float:
    """Clopper and Pearson's one-sided upper bound on a rate, as for false detections among null decisions."""
    from scipy.stats import beta

    return 1.0 if hits >= n else float(beta.ppf(confidence, hits + 1, n - hits))
