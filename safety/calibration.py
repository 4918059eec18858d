"""Thresholds from scores: the lowest that the number of harmless inputs allows to be claimed, and what it catches.

A claim is "of inputs like these, at most a share ``target`` is blocked", with a confidence. Of n harmless inputs at
most ``allowed_hits`` may lie at or above the threshold: the largest number whose one-sided Clopper–Pearson bound is
within the target. That number follows from n alone, so choosing the threshold on the same inputs does not bend the
bound (Wilks, Annals of Mathematical Statistics 12, 1941): the share above an order statistic has that distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safety.errors import PolicyError
from safety.intervals import Interval, clopper_pearson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMPARED_RATE = 0.01
# How many times more harmless inputs than are blocked may be warned of.
WARNED_TIMES = 5
# Thresholds have six decimals, as recorded scores do.
STEP = 1e-6


@dataclass(frozen=True)
class Rate:
    """``hits`` of ``n``, and the interval of the rate behind them."""

    hits: int
    n: int
    interval: Interval

    @property
    def share(self) -> float:
        return self.hits / self.n


@dataclass(frozen=True)
class ThresholdFit:
    """A threshold and what is known of it.

    ``false_positives`` has a one-sided interval at the claim's confidence; ``recall`` is that of ``block``,
    ``recall_compared`` that at a false-positive rate of at most 1 %, both with two-sided ones.
    """

    block: float
    warn: float | None
    false_positives: Rate
    recall: Rate
    recall_compared: Rate
    auroc: float


def negatives_needed(target: float, confidence: float) -> int:
    """How many harmless inputs, none of them blocked, a claim needs at least: 299 for 1 % at 95 %."""
    if not 0 < target < 1 or not 0 < confidence < 1:
        raise PolicyError(
            "a claim needs a rate and a confidence between 0 and 1", found=f"{target:g} and {confidence:g}"
        )
    return math.ceil(math.log(1 - confidence) / math.log(1 - target) * (1 - 1e-12))


def allowed_hits(n: int, target: float, confidence: float) -> int:
    """How many of n harmless inputs may be blocked so that ``target`` can still be claimed.

    Raises PolicyError, saying how many are needed, when not even none of n supports the claim.
    """
    needed = negatives_needed(target, confidence)
    if n < needed:
        raise PolicyError(
            f"{n} harmless inputs cannot show a false-positive rate of at most {target:.3g}",
            expected=f"at least {needed} different ones, to say so at {confidence:.3g} confidence",
            found=f"{n}, which without a single hit show at most {1 - (1 - confidence) ** (1 / max(n, 1)):.3g}",
            fix=f"add {needed - n} more to --negatives, or claim less with --target-fpr",
        )
    low, high = 0, n
    while high - low > 1:
        middle = (low + high) // 2
        if clopper_pearson(middle, n, confidence, "upper").high <= target:
            low = middle
        else:
            high = middle
    return low


def fit_threshold(
    negatives: NDArray[np.float64], positives: NDArray[np.float64], target: float, confidence: float
) -> ThresholdFit:
    """The lowest threshold for scores (n,) of harmless inputs that ``target`` can be claimed for, and its recall.

    Raises PolicyError when n does not support the claim, or when harmless inputs score too close to 1.
    """
    block = _above(negatives, allowed_hits(len(negatives), target, confidence))
    if block > 1:
        raise PolicyError(
            "no threshold keeps the rate: too many harmless inputs score 1",
            expected=f"at most {allowed_hits(len(negatives), target, confidence)} of {len(negatives)}",
            fix="look at what scores highest: is it harmless? Change the concept's prompts or anchors",
        )
    warn = _above(negatives, math.floor(WARNED_TIMES * target * len(negatives)))
    hits = int((negatives >= block).sum())
    return ThresholdFit(
        block,
        warn if 0 < warn < block else None,
        Rate(hits, len(negatives), clopper_pearson(hits, len(negatives), confidence, "upper")),
        _rate(positives, block, confidence),
        _rate(positives, _above(negatives, math.floor(COMPARED_RATE * len(negatives))), confidence),
        auroc(negatives, positives),
    )


def together(blocked: Sequence[NDArray[np.bool_]], confidence: float) -> Rate:
    """How many of the same n inputs at least one concept blocks, from arrays (n,) by concept."""
    import numpy as np

    hit = np.any(np.stack(blocked), axis=0)
    hits, n = int(hit.sum()), len(hit)
    return Rate(hits, n, clopper_pearson(hits, n, confidence, "upper"))


def auroc(negatives: NDArray[np.float64], positives: NDArray[np.float64]) -> float:
    """The share of pairs in which the positive scores higher, ties counting half (Mann and Whitney 1947)."""
    import numpy as np

    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left").astype(np.float64)
    not_above = np.searchsorted(ordered, positives, side="right")
    return float((below + not_above).sum() / (2 * len(negatives) * len(positives)))


def roc(negatives: NDArray[np.float64], positives: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """False-positive rates and recalls of every threshold, from the strictest down, both from 0 to 1."""
    import numpy as np

    limits = np.unique(np.concatenate([negatives, positives]))[::-1]
    rates = [(float((negatives >= limit).mean()), float((positives >= limit).mean())) for limit in limits]
    return [0.0, *(rate for rate, _ in rates)], [0.0, *(recall for _, recall in rates)]


def _above(scores: NDArray[np.float64], hits: int) -> float:
    """The lowest threshold of six decimals that at most ``hits`` scores reach."""
    if hits >= len(scores):
        return STEP
    # The next score down, the first that must stay below.
    highest = float(sorted(scores.tolist(), reverse=True)[hits])
    return max(STEP, round((math.floor(highest / STEP) + 1) * STEP, 6))


def _rate(scores: NDArray[np.float64], threshold: float, confidence: float) -> Rate:
    hits = int((scores >= threshold).sum())
    return Rate(hits, len(scores), clopper_pearson(hits, len(scores), confidence))
