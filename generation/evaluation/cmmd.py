"""CMMD: how far CLIP directions of two sets of pictures lie apart, with intervals.

Jayasumana et al., arXiv:2401.09603: 1000 × the squared maximum mean discrepancy under a Gaussian kernel with σ = 10.
torchmetrics does not have it. Intervals say what other noise and other prompts would have changed: the dataset is taken
as it is, and prompts are left out one after the other (a jackknife by groups: pictures of one prompt are alike).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from generation.errors import GenerationError
from provenance.canonical import Json

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIGMA, SCALE = 10.0, 1000.0
CONFIDENCE = 0.95
CHUNK = 256


@dataclass(frozen=True)
class Bounded:
    """An estimate and its interval."""

    mean: float
    low: float
    high: float

    def to_json(self) -> Json:
        """As plain values."""
        return {name: round(getattr(self, name), 6) for name in ("mean", "low", "high")}


@dataclass(frozen=True)
class Cmmd:
    """The discrepancy before and after, and after less before, unbiased; ``biased`` is as the authors' code has it.

    That code keeps the kernel of every picture with itself: published figures are biased ones.
    """

    before: Bounded
    after: Bounded
    difference: Bounded
    biased_before: float
    biased_after: float

    def to_json(self) -> Json:
        """As plain values."""
        return {
            "before": {**self.before.to_json(), "biased": round(self.biased_before, 6)},
            "after": {**self.after.to_json(), "biased": round(self.biased_after, 6)},
            "difference": self.difference.to_json(),
            "confidence": CONFIDENCE,
        }


@dataclass(frozen=True)
class _Sums:
    """Sums of the kernel by G groups of drawn pictures, each (G,): to all drawn, within the group, to the dataset."""

    drawn: NDArray[np.float64]
    inside: NDArray[np.float64]
    across: NDArray[np.float64]
    sizes: NDArray[np.float64]


def compare(
    reference: NDArray[np.float32], before: NDArray[np.float32], after: NDArray[np.float32], groups: Sequence[int]
) -> Cmmd:
    """Compares CLIP directions of a dataset (M, D) with those of the same draws before and after (N, D), N at least 3.

    ``groups[i]`` numbers the prompt of the i-th; where leaving one out leaves nothing to compare, each picture is a
    group of its own. Raises GenerationError for what is no number.
    """
    m, n, places = len(reference), len(before), _places(groups)
    # The dataset's own part is one and the same in every figure.
    own = math.fsum(float(_kernel(rows, reference).sum()) for rows in _chunks(reference))
    apart = (own - m) / (m * (m - 1))
    sums = [_sums(rows, reference, places) for rows in (before, after)]
    wholes = [_unbiased(each, apart, m) for each in sums]
    left_out = [np.array([_unbiased(each, apart, m, group) for group in range(len(each.sizes))]) for each in sums]
    biased = [SCALE * (own / m**2 + each.drawn.sum() / n**2 - 2 * each.across.sum() / (m * n)) for each in sums]
    if not np.isfinite([*wholes, *biased]).all():
        raise GenerationError("CMMD is not a number", expected="finite directions, more than two pictures")
    return Cmmd(
        _bounded(wholes[0], left_out[0]),
        _bounded(wholes[1], left_out[1]),
        _bounded(wholes[1] - wholes[0], left_out[1] - left_out[0]),
        float(biased[0]),
        float(biased[1]),
    )


def _places(groups: Sequence[int]) -> NDArray[np.int64]:
    """The group of each picture, counted from 0."""
    places = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
    return places if len(places) - np.bincount(places).max() >= 2 else np.arange(len(places))


def _unbiased(sums: _Sums, apart: float, m: int, less: int | None = None) -> float:
    """1000 × the unbiased estimate, without one group if that is named; the kernel of a row with itself is 1."""
    n, drawn, across = sums.sizes.sum(), sums.drawn.sum(), sums.across.sum()
    if less is not None:
        n -= sums.sizes[less]
        drawn -= 2 * sums.drawn[less] - sums.inside[less]
        across -= sums.across[less]
    return float(SCALE * (apart + (drawn - n) / (n * (n - 1)) - 2 * across / (m * n)))


def _bounded(whole: float, left_out: NDArray[np.float64]) -> Bounded:
    """A normal interval with the jackknife's deviation."""
    count = len(left_out)
    deviation = math.sqrt((count - 1) / count * float(np.square(left_out - left_out.mean()).sum()))
    half = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2) * deviation
    return Bounded(whole, whole - half, whole + half)


def _sums(rows: NDArray[np.float32], reference: NDArray[np.float32], places: NDArray[np.int64]) -> _Sums:
    by_row = []
    for some, at in zip(_chunks(rows), _chunks(places), strict=True):
        drawn = _kernel(some, rows)
        inside = (drawn * (at[:, None] == places)).sum(axis=1)
        by_row.append(np.stack([drawn.sum(axis=1), inside, _kernel(some, reference).sum(axis=1), np.ones(len(some))]))
    by_group = [np.asarray(np.bincount(places, each), np.float64) for each in np.concatenate(by_row, axis=1)]
    return _Sums(*by_group)


def _chunks(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    # No whole matrix of pairs is ever in memory.
    return (rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK))


def _kernel(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    one, other = first.astype(np.float64), second.astype(np.float64)
    distances = np.square(one).sum(axis=1)[:, None] + np.square(other).sum(axis=1) - 2 * one @ other.T
    return np.asarray(np.exp(-np.maximum(distances, 0) / (2 * SIGMA**2)))
